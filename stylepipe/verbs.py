"""The program's own commands: names that no stylizer and no plugin's command may take."""

VERBS = {
    "run": "Stylize photos, folders of photos and videos.",
    "masks": "Write masks as pictures, to look at or edit before a long run.",
    "sheet": "Show photos in every style, or in many settings, on one sheet.",
    "sweep": "Try every combination of settings, and show and measure the results.",
    "compare": "Show stylizers, presets or finished folders side by side, and measure them.",
    "live": "Paint what a camera sees, as it sees it.",
    "ui": "Open a page in the browser: drop photos, choose a style, look, paint.",
    "train": "Train a style of your own.",
    "styles": "List the styles at hand.",
    "presets": "List, show and validate presets.",
    "plugins": "List, check and create plugins.",
    "probe": "Say what is in a photo or video.",
    "measure": "Say how steady and how crisp painted films are.",
    "weights": "List and fetch network weights.",
    "doctor": "Check that everything stylepipe needs is in order.",
    "completion": "Print the completion script of your shell.",
}
