// The page requests previews and shows the server's answers. It holds nothing that could be lost:
// uploads and the queue are the server's, and a page that was closed can be opened again.

const $ = (id) => document.getElementById(id);
const KEPT = "stylepipe";
const tab = crypto.randomUUID();
let studio = { presets: [], stylizers: [], masks: [], photos: [], paintings: [], max_upload: Infinity };
let choice = {}; // the controls that were moved, as the server takes them
let controls = {}; // the positions of all controls, as the server reports them
let photo = null; // the name of the one on the stage
let opened = null; // a result that is on the stage instead of the preview
let zoom = 1;
let started; // fulfilled when the page knows what there is

// -- small helpers ---------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function say(text) {
  $("live").textContent = text;
}

function complain(text) {
  const close = make("button", { type: "button", onclick: () => item.remove() }, "Close");
  const item = make("li", {}, make("span", {}, text), close);
  if ([...$("messages").children].some((li) => li.firstChild.textContent === text)) return;
  $("messages").append(item);
}

const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const address = (...parts) => `/api/${parts.map(encodeURIComponent).join("/")}`;
// A name may return with another file, which the browser must not take from its memory.
const copy = (shelf, one) => `${address(shelf, one.name)}?${one.added ?? ""}`;

async function api(path, { method = "GET", body, signal } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name !== "AbortError") $("gone").hidden = false;
    throw error;
  }
  $("gone").hidden = answer.status !== 401;
  if (!answer.ok) throw new Error(reason(await answer.text(), answer.status));
  return answer;
}

function reason(text, status) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim() || `the program answered ${status}`;
  }
}

function flash(button, text) {
  if (button.dataset.words) return;
  button.dataset.words = button.textContent;
  button.textContent = text;
  setTimeout(() => {
    if (button.textContent === text) button.textContent = button.dataset.words;
    delete button.dataset.words;
  }, 1500);
}

// Errors are shown once, in the program's words; the banner shows that it has ended.
const told = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (error) {
    if (error.name !== "AbortError" && $("gone").hidden) complain(error.message);
  }
};

// -- uploads ---------------------------------------------------------------------------------

function send(shelf, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/${shelf}?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.response));
      else reject(new Error(reason(request.response, request.status)));
    };
    request.onerror = () => reject(new Error(`${file.name} could not be sent`));
    request.send(file);
  });
}

async function add(shelf, files) {
  const list = [...files].filter((file) => !file.name.startsWith(".")); // the input is emptied meanwhile
  await started; // the program may still be answering what there is
  const added = [];
  for (const [index, file] of list.entries()) {
    if (file.size > studio.max_upload) {
      const most = studio.max_upload.toLocaleString("en");
      complain(`${file.name} is larger than the ${most} bytes that are taken; start with a larger --max-upload, or use stylepipe run`);
      continue;
    }
    try {
      const one = await send(shelf, file, (share) => {
        const which = list.length > 1 ? `${index + 1} of ${list.length}` : file.name;
        adding(`Adding ${which}, ${Math.round(100 * share)} %`);
      });
      one.added = Date.now();
      added.push(one);
      studio[shelf].push(one);
      if (shelf === "photos") showPhotos();
      if (added.length > 1) continue;
      if (shelf === "photos") choosePhoto(one.name); // seen while the others arrive
      else choosePainting(one.name);
    } catch (error) {
      complain(error.message);
    }
  }
  adding("");
  if (added.length) say(`${counted(added.length, "file")} added`);
}

function adding(text) {
  $("adding").textContent = text;
  $("adding").hidden = text === "";
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesOf(one)));
  }
}

let over = 0;
addEventListener("dragenter", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  over += 1;
  $("drop").hidden = false;
});
addEventListener("dragleave", () => {
  over = Math.max(0, over - 1);
  $("drop").hidden = over === 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", told(async (event) => {
  event.preventDefault();
  over = 0;
  $("drop").hidden = true;
  const shelf = event.target.closest?.("#styles") ? "paintings" : "photos";
  const plain = [...event.dataTransfer.files];
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : plain;
  if (!files.length) throw new Error("nothing to add was dropped: drop photos, films, or folders of them");
  await add(shelf, files);
}));

for (const [input, shelf] of [["files", "photos"], ["dir", "photos"], ["painting", "paintings"]]) {
  $(input).addEventListener("change", told(async () => {
    await add(shelf, $(input).files);
    $(input).value = "";
  }));
}
document.addEventListener("click", (event) => {
  const pick = event.target.closest("[data-pick]")?.dataset.pick;
  if (pick) $({ files: "files", folder: "dir", painting: "painting" }[pick]).click();
});

// -- the shelf and the stage -----------------------------------------------------------------

function showPhotos() {
  const some = studio.photos.length > 0;
  $("shelf").hidden = !some;
  $("empty").hidden = some;
  $("all").textContent = studio.photos.length > 1 ? `Paint all ${studio.photos.length}` : "Paint all";
  $("all").hidden = $("clear").hidden = studio.photos.length < 2;
  const focused = document.activeElement?.id;
  $("photos").replaceChildren(...studio.photos.map((one, index) => {
    const id = `photo-${index}`;
    const radio = make("input", { type: "radio", name: "photo", id, value: one.name, checked: one.name === photo });
    radio.addEventListener("change", () => choosePhoto(one.name));
    const label = make("label", { htmlFor: id, title: one.name },
      make("img", { src: copy("photos", one), alt: one.name, loading: "lazy" }));
    if (isFilm(one)) label.append(make("span", { className: "film" }, "film"));
    const away = make("button", { type: "button", onclick: told(() => removePhotos([one.name])) }, "\u00d7");
    away.setAttribute("aria-label", `Remove ${one.name}`);
    return make("div", { className: "photo" }, radio, label, away);
  }));
  if (focused?.startsWith("photo-")) $(focused)?.focus();
}

async function removePhotos(names) {
  try {
    for (const name of names) {
      await api(address("photos", name), { method: "DELETE" });
      studio.photos = studio.photos.filter((one) => one.name !== name);
      say(`${name} removed`);
      if (photo === name) photo = null;
    }
  } finally {
    showPhotos();
    choosePhoto(photo ?? studio.photos[0]?.name ?? null);
  }
}
$("clear").addEventListener("click", told(() => removePhotos(studio.photos.map((one) => one.name))));

function choosePhoto(name) {
  photo = name;
  opened = null;
  const radio = [...document.getElementsByName("photo")].find((one) => one.value === name);
  if (radio) radio.checked = true;
  $("pair").hidden = $("zoom").hidden = name === null;
  $("empty").hidden = studio.photos.length > 0;
  $("one").disabled = $("all").disabled = name === null;
  if (name !== null) stage(photoCopy(), null, name);
  remember();
  look();
}

const photoCopy = () => copy("photos", studio.photos.find((one) => one.name === photo) ?? { name: photo });

// Shows a picture and its painting.
function stage(before, after, name) {
  $("film").hidden = $("play").hidden = true;
  $("film").removeAttribute("src");
  const other = $("before").getAttribute("src") !== before;
  if (other) {
    $("before").src = before;
    $("before").alt = `Photo ${name}`;
  }
  if (after === null) for (const part of ["after", "split", "handle"]) $(part).hidden = true;
  else paint(after, name);
  $("back").hidden = opened === null;
  $("save").hidden = opened === null;
}

function paint(source, name) {
  $("after").src = source;
  $("after").alt = `Painted ${name}`;
  $("after").classList.remove("stale");
  for (const part of ["after", "split", "handle"]) $(part).hidden = false;
  divide();
}

function divide() {
  const share = $("split").value;
  $("pair").style.setProperty("--share", `${share}%`);
  $("split").setAttribute("aria-valuetext", `${share} % photo`);
}
$("split").addEventListener("input", divide);

function fit() {
  const { naturalWidth: width, naturalHeight: height } = $("before");
  const { clientWidth, clientHeight } = $("stage");
  if (!width || !clientWidth) return;
  const scale = Math.min((clientWidth - 24) / width, (clientHeight - 24) / height, 2) * zoom;
  $("pair").style.width = `${Math.round(width * scale)}px`;
  $("pair").style.height = `${Math.round(height * scale)}px`;
}
$("before").addEventListener("load", fit);
$("before").addEventListener("error", () => { // a result may outlive its photo
  if (opened !== null && $("before").src !== $("after").src) $("before").src = $("after").src;
});
new ResizeObserver(fit).observe($("stage"));
$("zoom").addEventListener("click", (event) => {
  const way = event.target.dataset.zoom;
  if (!way) return;
  zoom = way === "fit" ? 1 : Math.min(8, Math.max(1, zoom * (way === "in" ? 1.5 : 1 / 1.5)));
  fit();
  say(`Zoom ${Math.round(100 * zoom)} %`);
});
$("back").addEventListener("click", () => choosePhoto(photo));
$("play").addEventListener("click", told(async () => {
  $("film").src = address("orders", opened.number, "results", opened.index);
  $("film").hidden = false;
  await $("film").play();
}));

// -- previews --------------------------------------------------------------------------------

let asked = null;
let timer = 0;

function look() {
  clearTimeout(timer);
  asked?.abort();
  timer = setTimeout(told(ask), 80);
}

async function ask() {
  const lacks = lacking();
  $("one").disabled = $("all").disabled = photo === null || lacks;
  $("style-note").hidden = !lacks;
  $("style-note").textContent = lacks ? "Add a painting: this stylizer paints after any picture." : "";
  if (lacks) {
    for (const part of ["after", "split", "handle"]) $(part).hidden = true;
    controls = { ...controls, stylizer: choice.stylizer, style: null };
    return showControls();
  }
  asked = new AbortController();
  const names = photo === null ? [] : [photo];
  const shown = opened === null ? photo : null;
  $("after").classList.add("stale");
  let answer;
  try {
    answer = await api("/api/look", {
      method: "POST", signal: asked.signal, body: { tab, photo: shown, names, choice: choiceFor(names) },
    });
  } catch (error) {
    if (error.name === "AbortError" || !$("gone").hidden) throw error;
    return hear({ failure: error.message });
  }
  for await (const news of lines(answer)) hear(news);
}

async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += value ?? "";
    const whole = text.split("\n");
    text = whole.pop();
    for (const line of whole) yield JSON.parse(line);
    if (done) return;
  }
}

function hear(news) {
  if (news.controls) {
    controls = news.controls;
    $("command").textContent = news.command;
    $("preset-file").textContent = news.preset;
    showControls();
    if (photo !== null && opened === null) $("caption").textContent = "Painting a preview";
  }
  if (news.note) $("caption").textContent = news.note;
  if (news.picture && opened === null) paint(news.picture, photo);
  $("share").hidden = news.share === undefined;
  if (news.share !== undefined) {
    $("share").value = news.share;
    $("caption").textContent = `Painting a preview: ${news.text}`;
  }
  if (news.seconds !== undefined) {
    const film = studio.photos.some((one) => one.name === photo && isFilm(one)) ? " of one frame" : "";
    $("caption").textContent = `Preview${film} in ${news.seconds.toFixed(1)} s; strokes are finer at full size`;
    say("The preview is painted");
  }
  if (news.failure) {
    $("caption").textContent = news.failure;
    for (const part of ["after", "split", "handle"]) $(part).hidden = true;
    say(news.failure);
  }
}

// -- controls --------------------------------------------------------------------------------

const isFilm = (one) => one.kind === "video";

// The choice for these files: films are held still unless the box was cleared.
function choiceFor(names) {
  const films = studio.steady && studio.photos.some((one) => isFilm(one) && names.includes(one.name));
  return { ...choice, steady: films ? (choice.steady ?? true) : undefined };
}

const stylizer = (name) => studio.stylizers.find((one) => one.name === name);
const title = (name) => name.replace(/[-_]/g, " ").replace(/^./, (c) => c.toUpperCase());

function lacking() {
  const chosen = stylizer(choice.stylizer);
  return Boolean(chosen?.needs_style && !choice.style);
}

function set(name, value) {
  choice = { ...choice, [name]: value };
  opened = null;
  if (photo !== null) stage(photoCopy(), $("after").hidden ? null : $("after").src, photo);
  remember();
  look();
}

function remember() {
  localStorage.setItem(KEPT, JSON.stringify({ photo, choice }));
}

function chooseStylizer(name) {
  const { styles, takes_paintings } = stylizer(name);
  const known = [
    ...styles.map((one) => one.name),
    ...(takes_paintings ? studio.paintings.map((one) => one.name) : []),
  ];
  const before = choice.style ?? controls.style;
  choice = { ...choice, stylizer: name, style: known.includes(before) ? before : (known[0] ?? null) };
  for (const option of ["strength", "style_scale", "keep_colors"]) {
    if (!(option in stylizer(name).options)) delete choice[option];
  }
  set("stylizer", name);
}

function choosePainting(name) {
  const now = stylizer(controls.stylizer);
  const able = now?.takes_paintings ? now : studio.stylizers.find((one) => one.name === "universal")
    ?? studio.stylizers.find((one) => one.takes_paintings);
  if (!able) return complain("no stylizer here paints after pictures");
  if (able !== now) choice = { ...choice, stylizer: able.name };
  set("style", name);
}

let drawn = "";
function showStyles() {
  const now = stylizer(controls.stylizer);
  const key = JSON.stringify([now?.name, studio.paintings.map((one) => one.name)]);
  const anew = key !== drawn;
  if (anew) {
    drawn = key;
    const bundled = (now?.styles ?? []).map((one) =>
      tile(one.name, title(one.name), one.title, address("styles", now.name, one.name), () => set("style", one.name)));
    const own = studio.paintings.map((one) =>
      tile(one.name, one.name.replace(/\.\w+$/, ""), one.name, copy("paintings", one), () => choosePainting(one.name)));
    $("style-list").replaceChildren(...own, ...bundled);
  }
  for (const radio of document.getElementsByName("style")) {
    radio.checked = radio.value === controls.style;
    if (anew && radio.checked) reveal(radio.parentElement, $("style-list"));
  }
}

// Scrolls the list, and not the page.
function reveal(item, list) {
  list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 3;
}

let tiles = 0;
function tile(value, name, about, source, act) {
  const id = `style-${(tiles += 1)}`;
  const radio = make("input", { type: "radio", name: "style", id, value, onchange: act });
  const picture = make("img", { src: source, alt: "", loading: "lazy" });
  picture.onerror = () => picture.replaceWith(make("span", { className: "blank" }));
  return make("div", { className: "style" }, radio,
    make("label", { htmlFor: id, title: about }, picture, make("span", {}, name)));
}

function showControls() {
  const options = stylizer(controls.stylizer)?.options ?? {};
  showStyles();
  const strength = controls.strength ?? 1, scale = controls.style_scale ?? 1;
  $("strength").disabled = !("strength" in options);
  $("strength").value = strength;
  $("strength-out").textContent = `${Math.round(100 * strength)} %`;
  $("scale").disabled = !("style_scale" in options);
  $("scale").min = Math.max(-2, Math.log2(options.style_scale?.min ?? 0.25));
  $("scale").max = Math.min(2, Math.log2(options.style_scale?.max ?? 4));
  $("scale").value = Math.log2(scale);
  $("scale-out").textContent = `${Number(scale).toFixed(2).replace(/\.?0+$/, "")} \u00d7`;
  $("keep").disabled = !("keep_colors" in options);
  $("keep").checked = Boolean(controls.keep_colors);
  $("steady").checked = choice.steady ?? true;
  $("steady-field").hidden = !studio.steady || !studio.photos.some(isFilm);
  $("mask").disabled = controls.mask === null;
  const masks = [...$("mask").options].map((one) => one.value);
  if (controls.mask && !masks.includes(controls.mask)) {
    $("mask").append(new Option(controls.mask, controls.mask));
  }
  $("mask").value = controls.mask ?? "";
  $("preset").value = choice.preset ?? "default";
  $("stylizer").value = controls.stylizer;
  $("preset-note").textContent = studio.presets.find((one) => one.name === $("preset").value)?.description ?? "";
  $("stylizer-note").textContent = stylizer(controls.stylizer)?.summary ?? "";
}

function fillSelects() {
  $("preset").replaceChildren(...studio.presets.map((one) => new Option(title(one.name), one.name)));
  $("stylizer").replaceChildren(...studio.stylizers.map((one) => new Option(one.name, one.name)));
  const masks = [["", "As the preset has it"], ["none", "Everywhere"]];
  for (const { name } of studio.masks) masks.push([name, `Only: ${name}`], [`!${name}`, `All but: ${name}`]);
  $("mask").replaceChildren(...masks.map(([value, text]) => new Option(text, value)));
  $("mask").options[0].hidden = true; // for presets with regions
}

$("strength").addEventListener("input", () => set("strength", Number($("strength").value)));
$("scale").addEventListener("input", () => set("style_scale", 2 ** Number($("scale").value)));
$("keep").addEventListener("change", () => set("keep_colors", $("keep").checked));
$("steady").addEventListener("change", () => set("steady", $("steady").checked));
$("mask").addEventListener("change", () => set("mask", $("mask").value));
$("stylizer").addEventListener("change", () => chooseStylizer($("stylizer").value));
$("preset").addEventListener("change", () => {
  choice = {};
  set("preset", $("preset").value);
});
$("reset").addEventListener("click", () => {
  choice = {};
  set("preset", "default");
});
$("panel").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("click", told(async (event) => {
  const copied = event.target.dataset?.copy;
  if (!copied) return;
  await navigator.clipboard.writeText($(copied).textContent);
  say("Copied");
  flash(event.target, "Copied");
}));

// -- the queue -------------------------------------------------------------------------------

const cards = new Map();
const WORDS = { waiting: "Waiting", paused: "Paused", done: "Done", failed: "Failed", canceled: "Canceled" };

const order = told(async (button, names) => {
  await api("/api/orders", { method: "POST", body: { names, choice: choiceFor(names) } });
  say(`${counted(names.length, "picture")} in the queue`);
  flash(button, "In the queue");
  wake();
});
$("one").addEventListener("click", () => order($("one"), [photo]));
$("all").addEventListener("click", () => order($("all"), studio.photos.map((one) => one.name)));
$("to-queue").addEventListener("click", () => $("queue").focus({ preventScroll: true }));

const total = (one) => one.total || one.names.length; // a file may hold several pictures
function words(one) {
  const all = total(one);
  if (one.state !== "running") {
    const made = one.state === "waiting" ? counted(all, "picture") : `${one.results.length} of ${all} painted`;
    return [WORDS[one.state], one.why || made].join(": ");
  }
  if (one.wanted === "paused") return "Pausing after the picture in hand";
  if (one.wanted === "canceled") return "Canceling";
  const at = all > 1 && one.current ? `${one.place + 1} of ${all}` : "";
  const text = [at, one.current, one.text].filter(Boolean).join(", ");
  return text ? `Painting ${text}` : "Getting ready";
}

function share(one) {
  return Math.max(one.place + one.share, one.results.length + one.failures.length) / total(one);
}

function showOrders(orders) {
  const before = new Map((studio.orders ?? []).map((one) => [one.number, one]));
  studio.orders = orders;
  $("queue").hidden = $("to-queue").hidden = orders.length === 0;
  const busy = orders.find((one) => one.state === "running");
  const waiting = orders.filter((one) => one.state === "waiting").length;
  $("to-queue").textContent = busy
    ? `Painting, ${Math.round(100 * share(busy))} %${waiting ? `, ${waiting} waiting` : ""}`
    : orders.length ? `${orders[0].title}: ${WORDS[orders[0].state].toLowerCase()}` : "";
  document.title = busy ? `${Math.round(100 * share(busy))} % - stylepipe` : "stylepipe";
  for (const [number, card] of cards) {
    if (!orders.some((one) => one.number === number)) {
      card.element.remove();
      cards.delete(number);
    }
  }
  for (const [index, one] of orders.entries()) {
    if (!cards.has(one.number)) cards.set(one.number, newCard(one.number));
    const { element, update } = cards.get(one.number);
    if ($("orders").children[index] !== element) $("orders").insertBefore(element, $("orders").children[index] ?? null);
    const old = before.get(one.number);
    if (JSON.stringify(old) !== JSON.stringify(one) || !element.dataset.shown) update(one);
    element.dataset.shown = "yes";
    if (old && (old.state !== one.state || old.results.length < one.results.length)) {
      say(`${one.title}: ${words(one)}`);
    }
  }
}

function newCard(number) {
  const path = (...parts) => address("orders", number, ...parts);
  const button = (name, action) => make("button", {
    type: "button",
    onclick: told(async () => {
      showOrders(await (await api(path(action), { method: "POST" })).json());
      wake();
    }),
  }, name);
  const heading = make("h3"), state = make("p", { className: "state" }), bar = make("progress", { max: 1 });
  const pause = button("Pause", "pause"), resume = button("Resume", "resume");
  const cancel = button("Cancel", "cancel"), remove = button("Remove from the list", "remove");
  const all = make("a", { className: "button", href: path("zip"), download: "" }, "Save all as ZIP");
  const interim = make("img", { className: "interim", alt: "The picture so far", hidden: true });
  const failures = make("ul", { className: "failures" }), notes = make("ul", { className: "soft" });
  const results = make("div", { className: "results" });
  const buttons = make("div", { className: "row" }, pause, resume, all, cancel, remove);
  const head = make("div", { className: "head" }, heading, state, buttons);
  const element = make("li", { className: "order" }, head, bar, interim, results, failures, notes);
  let shown = 0;
  const update = (one) => {
    element.className = `order ${one.state}`;
    heading.textContent = one.title;
    for (const [control, name] of [[pause, "Pause"], [resume, "Resume"], [cancel, "Cancel"], [remove, "Remove"]]) {
      control.setAttribute("aria-label", `${name} ${one.title}`);
    }
    state.textContent = words(one);
    bar.value = share(one);
    bar.setAttribute("aria-label", `Progress of ${one.title}`);
    bar.hidden = !["running", "paused", "waiting"].includes(one.state);
    const stopping = one.wanted !== null;
    pause.hidden = stopping || !["running", "waiting"].includes(one.state);
    resume.hidden = !(stopping || ["paused", "failed", "canceled"].includes(one.state));
    cancel.hidden = !["running", "waiting", "paused"].includes(one.state);
    remove.hidden = !["done", "failed", "canceled"].includes(one.state);
    all.hidden = one.results.length < 2;
    interim.hidden = !one.interim;
    if (one.interim) interim.src = `${path("now")}?${one.interim}`;
    failures.replaceChildren(...one.failures.map(([name, why]) => make("li", {}, `${name}: ${why}`)));
    notes.replaceChildren(...one.notes.slice(-3).map((line) => make("li", {}, line)));
    if (one.results.length < shown) {
      results.replaceChildren();
      shown = 0;
    }
    for (; shown < one.results.length; shown += 1) {
      const index = shown, [name, made] = one.results[index];
      results.append(make("button", { type: "button", onclick: () => open(number, index, name, made) },
        make("img", { src: path("results", index, "after"), alt: `Look at ${made}`, loading: "lazy" })));
    }
  };
  return { element, update };
}

function open(number, index, name, made) {
  opened = { number, index };
  asked?.abort();
  const at = (...parts) => address("orders", number, "results", index, ...parts);
  $("pair").hidden = $("zoom").hidden = false;
  $("empty").hidden = $("share").hidden = true;
  stage(at("before"), at("after"), made);
  $("play").hidden = !/\.(mp4|m4v|mov|webm)$/i.test(made);
  $("save").href = at();
  $("caption").textContent = made === name ? made : `${made}, painted from ${name}`;
  $("easel").scrollIntoView();
  $("split").focus({ preventScroll: true });
}

async function poll() {
  showOrders(await (await api("/api/orders")).json());
}

let wake = () => {}; // ends the wait between two polls

async function watch() {
  for (;;) {
    const busy = (studio.orders ?? []).some((one) => ["running", "waiting"].includes(one.state));
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, busy ? 500 : 3000);
    });
    if (document.hidden) continue;
    try {
      await poll();
    } catch {
      // the banner shows it
    }
  }
}

// -- start -----------------------------------------------------------------------------------

started = told(async () => {
  studio = await (await api("/api/state")).json();
  $("folder").textContent = studio.folder;
  fillSelects();
  const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  choice = kept.choice ?? {};
  const styles = [...studio.paintings, ...studio.stylizers.flatMap((one) => one.styles)];
  const lost = (list, name) => name && !list.some((one) => one.name === name);
  if (lost(studio.presets, choice.preset) || lost(studio.stylizers, choice.stylizer)
    || lost(styles, choice.style) || lost([{ name: "none" }, ...studio.masks], choice.mask?.replace("!", ""))) choice = {};
  photo = studio.photos.find((one) => one.name === kept.photo)?.name ?? studio.photos[0]?.name ?? null;
  showPhotos();
  showOrders(studio.orders);
  choosePhoto(photo);
})();
await started;
watch();
