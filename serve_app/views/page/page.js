// The page: two pictures and a config in, what the service tells of them out. Decides nothing of a comparison.
import "./viewer.js";
import { ask, blobOf, events, form, Trouble, useKey } from "./asking.js";
import { COPIES } from "./copying.js";
import { el, milliseconds, picture, save } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { forget, keep, recent } from "./kept.js";
import { reportOf } from "./report.js";
import { Work } from "./work.js";
import { isSaid, speak, spoken, t } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const SIDES = ["reference", "candidate"];
const MOST_TRIES = 6;
const asked = $("#asked");
const viewer = $("pair-viewer");
const now = { files: {}, many: [], report: null, config: null, shown: null, work: null, left: new Map() };
const work = new Work($("#work"), openAlone);

async function say(code) {
	const known = code === "zh" ? "zh" : "en";
	speak(known, (await import(`./words_${known}.js`)).WORDS);
	document.documentElement.lang = spoken();
	document.title = t("title");
	for (const each of document.querySelectorAll("[data-say]")) each.textContent = t(each.dataset.say);
	viewer.build();
	$("#language").value = spoken();
	$("#examples").replaceChildren(
		...Object.entries(EXAMPLES).map(([name, draw]) => el("button", { type: "button", onclick: () => example(name, draw) }, t(name))),
	);
	SIDES.forEach(tellSide);
	tellIgnored();
	if (now.report) tellReport();
	tellTakes();
	tellRecent();
}

// Which pictures.

async function choose(side, files) {
	[now.files[side]] = files;
	now.many = side === "candidate" ? [...files] : now.many;
	await tellSide(side);
}

function tellSide(side) {
	const drop = $(`.drop[data-side=${side}]`);
	const [file, image] = [now.files[side], drop.querySelector("img")];
	URL.revokeObjectURL(image.src);
	image.hidden = true;
	const more = side === "candidate" && now.many.length > 1 ? t("drop.many", { count: now.many.length }) : "";
	drop.querySelector(".drop-told").textContent = file ? `${file.name || t("drop.pasted")} ${more}` : t(`drop.${side}`);
	$("#exchange").disabled = !SIDES.every((each) => now.files[each]);
	if (!file) return;
	image.onload = () => (image.hidden = false);
	image.src = URL.createObjectURL(file);
}

/** Files from anywhere: two are a pair, one goes where it is missing, more are one reference and its candidates. */
function take(files, side) {
	const images = [...files].filter((file) => file.size);
	if (!images.length) return;
	if (images.length === 1) return choose(side ?? (now.files.reference ? "candidate" : "reference"), images);
	if (side === "candidate") return choose(side, images);
	choose("reference", images.slice(0, 1));
	choose("candidate", images.slice(1));
}

async function example(name, draw) {
	const blobs = await draw();
	take(blobs.map((blob, at) => new File([blob], `${name.split(".")[1]}_${"ab"[at]}.png`, { type: "image/png" })));
	compare();
}

function configOf() {
	const fields = asked.elements;
	const names = (text) => text.split(/[,，;\n]/).map((each) => each.trim()).filter(Boolean);
	const aspects = names(fields.comparison_aspects.value);
	return {
		similarity_threshold: Number(fields.similarity_threshold.value),
		...(fields.strict.checked && { max_differences: 0 }),
		...(fields.text.checked && { text_changes: "mismatch" }),
		...(aspects.length && { comparison_aspects: aspects }),
		focus_elements: names(fields.focus_elements.value),
		...(viewer.ignored.length && { ignore_regions: viewer.ignored }),
		...(Number(fields.frame.value) && { frame: Number(fields.frame.value) }),
		language: spoken(),
	};
}

/** The picture as the browser shows it; else as the service does: the overlay of a picture with itself has no mark. */
async function shown(file, config) {
	try {
		return await picture(URL.createObjectURL(file));
	} catch {
		const own = { visuals: ["overlay"], frame: config.frame ?? 0 };
		const report = await ask("v1/compare", { method: "POST", body: form([file, file], own) });
		return picture(report.visuals[0].image);
	}
}

// A comparison.

async function compare() {
	const files = SIDES.map((side) => now.files[side]);
	if (!files.every(Boolean)) return trouble(t("trouble.two"));
	if (now.many.length > 1) return leave();
	now.work?.abort();
	const mine = (now.work = new AbortController());
	const config = configOf();
	begin(mine);
	for (let tries = 1; ; tries += 1) {
		try {
			await once(files, config, mine);
			break;
		} catch (fault) {
			if (mine.signal.aborted || !(await isTriedAgain(fault, tries, mine))) break;
		}
	}
	if (now.work === mine) $("#stop").hidden = true;
}

function begin(mine) {
	trouble(null);
	$("#stages").replaceChildren();
	$("#stop").hidden = false;
	$("#stop").onclick = () => {
		mine.abort();
		trouble(t("trouble.stopped"));
		$("#stop").hidden = true;
	};
}

async function once(files, config, mine) {
	const body = form(files, { ...config, visuals: ["heatmap"] });
	const pictures = Promise.all(files.map((file) => shown(file, config).catch(() => null)));
	stage("send", "working");
	for await (const [name, data] of events("v1/compare/stream", { method: "POST", body, signal: mine.signal })) {
		stage("send", "done");
		if (name === "progress") stage(data.stage, data.state, data.elapsed_ms);
		else if (name === "measurement") await open(data, config, files, pictures);
		else if (name === "report") {
			await open(data.data, config, files, pictures);
			trouble(null);
			await keep({ report: { ...data.data, visuals: [] }, config, reference: files[0], candidate: files[1] });
			tellRecent();
		}
	}
}

function stage(name, state, elapsed) {
	const list = $("#stages");
	const told = `${t(`stage.${name}`)}${state === "waiting" ? ` (${t("stage.waiting")})` : ""}${state === "done" && elapsed ? ` ${milliseconds(elapsed)}` : ""}`;
	const old = list.querySelector(`[data-stage=${name}]`);
	if (old?.classList.contains("done") && state === "done") return;
	const line = el("li", { class: state, "data-stage": name }, told);
	if (old) old.replaceWith(line);
	else list.append(line);
}

function said({ kind, status }) {
	const name = kind === "refused" ? (status === 403 ? 401 : status) : kind;
	return t(`trouble.${isSaid(`trouble.${name}`) ? name : "other"}`);
}

/** Seconds until the next try by itself; null: nothing that would help has changed by then. */
function waitOf(fault, tries) {
	if (tries >= MOST_TRIES) return null;
	if (fault.kind === "unreachable" || fault.kind === "cut") return Math.min(30, 2 ** tries);
	return fault.status === 429 || fault.status === 503 ? Math.ceil(fault.retryAfter ?? 5) : null;
}

async function isTriedAgain(fault, tries, mine) {
	if (!(fault instanceof Trouble)) {
		trouble(t("trouble.page"), String(fault.message));
		throw fault;
	}
	$("#key-form").hidden = ![401, 403].includes(fault.status);
	const what = said(fault);
	const wait = waitOf(fault, tries);
	if (wait === null) {
		$("#stages").replaceChildren();
		return trouble(what, fault.detail);
	}
	for (let left = wait; left > 0; left -= 1) {
		trouble(what, fault.detail, t("trouble.again", { seconds: left }));
		await new Promise((done) => setTimeout(done, 1000));
		if (mine.signal.aborted) return false;
	}
	trouble(null);
	return true;
}

function trouble(...told) {
	const box = $("#trouble");
	box.hidden = told[0] === null;
	const [what, detail, again] = told;
	const lines = [what && el("strong", {}, what), detail && el("p", {}, detail), again && el("p", { "aria-live": "off" }, again)];
	if (!box.hidden) box.replaceChildren(...lines.filter(Boolean));
}

// What came of it.

async function open(report, config, files, pictures) {
	const isNew = now.shown !== pictures;
	Object.assign(now, { report, config, named: files.map((file) => file?.name || "picture.png"), shown: pictures });
	$("#result").hidden = false;
	document.body.classList.add("has-result");
	const size = (image) => [image.width, image.height];
	const { images, measurement, differences } = report;
	const heat = report.visuals?.find((each) => each.kind === "heatmap");
	viewer.show({
		sizes: { reference: size(images.reference), candidate: size(images.candidate) },
		alignment: measurement.alignment,
		differences,
		isNew,
		...(isNew && { heat: null, reference: null, candidate: null }),
		...(heat && { heat: await picture(heat.image).catch(() => null) }),
	});
	tellReport();
	tellTakes();
	const [reference, candidate] = await pictures;
	if (isNew && now.shown === pictures) viewer.show({ reference, candidate });
}

/** A report whose pictures may have been left by this page, or be among the recent ones. */
async function openAlone(report, id, name) {
	const [reference, ...candidates] = now.left.get(id) ?? [];
	const candidate = candidates.find((file) => file.name === name) ?? candidates[0];
	if (reference) return openKept({ report, config: configOf(), reference, candidate });
	const mine = SIDES.map((side) => report.images[side].sha256);
	const isOf = (entry) => SIDES.every((side, at) => entry.report.images[side].sha256 === mine[at]);
	const known = (await recent()).find(isOf);
	openKept({ report, config: known?.config ?? {}, reference: known?.reference, candidate: known?.candidate });
}

function openKept({ report, config, reference, candidate }) {
	const files = [reference, candidate];
	if (reference) [now.files.reference, now.files.candidate, now.many] = [reference, candidate, []];
	SIDES.forEach(tellSide);
	open(report, config, files, Promise.all(files.map((file) => (file ? shown(file, config).catch(() => null) : null))));
	$("#result").scrollIntoView();
}

function tellReport() {
	const told = reportOf(now.report, {
		pick: (at) => viewer.select(at, true),
		point: (at) => viewer.hover(at),
	});
	now.told = told;
	$("#report").replaceChildren(told.root);
}

for (const name of ["picked", "hovered"]) viewer.addEventListener(name, (event) => now.told?.light(event.detail >= 0 ? event.detail : viewer.selected));

function tellTakes() {
	const button = (label, press) => el("button", { type: "button", onclick: press }, label);
	const base = new URL(".", location.href).href;
	const copies = Object.entries(COPIES).map(([name, write]) =>
		button(t("do.copy", { name }), () => {
			const text = write({ base, names: now.named, config: now.config });
			$("#copied").hidden = false;
			$("#copied").textContent = text;
			navigator.clipboard?.writeText(text).catch(() => {});
		}),
	);
	const json = () => saveBlob("report.json", new Blob([JSON.stringify(now.report, null, 1)], { type: "application/json" }));
	$("#takes").replaceChildren(...copies, button("JSON", json), button("HTML", html), button("PNG", () => viewer.download()));
}

async function html() {
	const files = SIDES.map((side) => now.files[side]);
	try {
		saveBlob("report.html", await blobOf("v1/compare", { method: "POST", body: form(files, now.config), headers: { Accept: "text/html" } }));
	} catch (fault) {
		trouble(said(fault), fault.detail);
	}
}

function saveBlob(name, blob) {
	const url = URL.createObjectURL(blob);
	save(name, url);
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Left at the service: a job, or a batch where one reference has many candidates. */
async function leave() {
	const files = [now.files.reference, ...(now.many.length > 1 ? now.many : [now.files.candidate])];
	if (!files.every(Boolean)) return trouble(t("trouble.two"));
	trouble(null);
	const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
	try {
		const { id } = await ask(files.length > 2 ? "v1/batches" : "v1/jobs", { method: "POST", body: form(files, configOf()), headers });
		now.left.set(id, files);
		work.look();
	} catch (fault) {
		trouble(said(fault), fault.detail);
	}
}

function tellIgnored() {
	const fields = (box, at) =>
		box.map((side, of) => {
			const change = (event) => {
				viewer.ignored[at][of] = Math.max(of > 1 ? 1 : 0, Math.round(Number(event.target.value)) || 0);
				viewer.tellIgnored();
			};
			return el("td", {}, el("input", { type: "number", min: of > 1 ? 1 : 0, value: side, "aria-label": `${at + 1} ${"xywh"[of]}`, onchange: change }));
		});
	const rows = viewer.ignored.map((box, at) =>
		el("tr", {}, fields(box, at), el("td", {}, el("button", { type: "button", onclick: () => viewer.remove(at) }, t("do.delete")))),
	);
	const json = JSON.stringify({ ignore_regions: viewer.ignored });
	const copy = el("button", { type: "button", onclick: () => navigator.clipboard?.writeText(json) }, t("do.copy", { name: "config" }));
	$("#ignored").replaceChildren(
		...(rows.length ? [el("strong", {}, t("config.ignored")), el("table", {}, el("tbody", {}, rows)), el("code", {}, json), " ", copy] : []),
	);
}

async function tellRecent() {
	const entries = await recent();
	$("#recent").hidden = !entries.length;
	$("#recent-list").replaceChildren(
		...entries.map((each) =>
			el(
				"li",
				{},
				el("button", { type: "button", onclick: () => openKept(each) }, el("b", { class: each.report.verdict }, t(each.report.verdict)), ` ${each.reference.name} – ${each.candidate.name}`),
				el("button", { type: "button", "aria-label": t("do.delete"), onclick: () => forget(each.id).then(tellRecent) }, "×"),
			),
		),
	);
}

// What people do.

for (const drop of document.querySelectorAll(".drop")) {
	const side = drop.dataset.side;
	drop.querySelector("input").addEventListener("change", (event) => take(event.target.files, side));
	for (const name of ["dragenter", "dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.toggle("is-over", name === "dragenter"));
	drop.addEventListener("drop", (event) => {
		event.preventDefault();
		event.stopPropagation();
		take(event.dataTransfer.files, side);
	});
}
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
	event.preventDefault();
	take(event.dataTransfer.files);
});
addEventListener("paste", (event) => take(event.clipboardData.files));
asked.addEventListener("submit", (event) => {
	event.preventDefault();
	compare();
});
asked.elements.similarity_threshold.addEventListener("input", (event) => ($("#threshold-told").textContent = event.target.value));
$("#leave").addEventListener("click", leave);
$("#exchange").addEventListener("click", () => {
	const { reference, candidate } = now.files;
	now.many = [];
	Object.assign(now.files, { reference: candidate, candidate: reference });
	SIDES.forEach(tellSide);
});
$("#key").addEventListener("change", (event) => useKey(event.target.value));
$("#key-form").addEventListener("submit", (event) => event.preventDefault());
$("#language").addEventListener("change", (event) => {
	localStorage.setItem("pairlens-language", event.target.value);
	say(event.target.value);
});
viewer.addEventListener("ignored", tellIgnored);

await say(localStorage.getItem("pairlens-language") ?? navigator.language.slice(0, 2));
work.look();
