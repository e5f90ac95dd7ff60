// The report in a file of its own: what was found is in the file, and so are the pictures.
import { el, picture } from "./dom.js";
import { reportOf } from "./report.js";
import { speak } from "./words.js";
import { WORDS } from "./words_now.js";

const told = JSON.parse(document.querySelector("#told").textContent);
speak(document.documentElement.lang, WORDS);
const viewer = el("pair-viewer");
const { root, light } = reportOf(told.report, {
	pick: (at) => viewer.select(at, true),
	point: (at) => viewer.hover(at),
});
viewer.addEventListener("picked", (event) => light(event.detail));
viewer.addEventListener("hovered", (event) => light(event.detail >= 0 ? event.detail : viewer.selected));
document.querySelector("#drawn").replaceChildren(el("div", { class: "columns" }, viewer, el("div", { id: "report" }, root)));

const { images, measurement, differences } = told.report;
const size = ({ width, height }) => [width, height];
viewer.show({
	sizes: { reference: size(images.reference), candidate: size(images.candidate) },
	alignment: measurement.alignment,
	differences,
	isNew: true,
});
const shown = Object.entries(told.pictures).map(async ([name, url]) => {
	viewer.show({ [name]: await picture(url).catch(() => null) });
});
Promise.all(shown).then(() => (document.documentElement.dataset.drawn = told.report.verdict));
