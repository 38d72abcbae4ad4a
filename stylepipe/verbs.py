"""The program's own commands: names that no stylizer and no plugin's command may take."""

VERBS = {
    "run": "Stylize photos, folders of photos and videos.",
    "masks": "Write masks as pictures, to look at or edit before a long run.",
    "live": "Paint what a camera sees, as it sees it.",
    "train": "Train a style of your own.",
    "styles": "List the styles at hand.",
    "presets": "List, show and validate presets.",
    "plugins": "List, check and create plugins.",
    "probe": "Say what is in a photo or video.",
    "weights": "List and fetch network weights.",
    "doctor": "Check that everything stylepipe needs is in order.",
    "completion": "Print the completion script of your shell.",
}
