// The report in a file of its own: what was found is in the file, and so are the pictures.
import "./viewer.js";
import { el } from "./dom.js";
import { reportOf } from "./report.js";
import { speak } from "./words.js";
import { WORDS } from "./words_now.js";

// Each is in the file once: what is seen without scripts is what the viewer draws.
const pictures = [...document.querySelectorAll("#drawn img")];
const report = JSON.parse(document.querySelector("#told").textContent);
speak(document.documentElement.lang, WORDS);
const viewer = el("pair-viewer");
const { root, light } = reportOf(report, {
	pick: (at) => viewer.select(at, true),
	point: (at) => viewer.hover(at),
});
viewer.addEventListener("picked", (event) => light(event.detail));
viewer.addEventListener("hovered", (event) => light(event.detail >= 0 ? event.detail : viewer.selected));
document.querySelector("#drawn").replaceChildren(el("div", { class: "columns" }, viewer, el("div", { id: "report" }, root)));

const { images, measurement, differences } = report;
const size = ({ width, height }) => [width, height];
viewer.show({
	sizes: { reference: size(images.reference), candidate: size(images.candidate) },
	alignment: measurement.alignment,
	differences,
	isNew: true,
});
const shown = (image) => image.decode().then(() => image, () => null).then((drawn) => viewer.show({ [image.alt]: drawn }));
const isLast = (image) => image.alt === "heat"; // nobody sees it at first
Promise.all(pictures.filter((image) => !isLast(image)).map(shown)).then(() => {
	document.documentElement.dataset.drawn = report.verdict;
	pictures.filter(isLast).forEach(shown);
});
