// <pair-viewer>: two pictures on one canvas in five views, with one zoom and one place for all of them.
// Knows no server and no report but boxes; all its numbers are pixels of the upright reference.
import { el, save } from "./dom.js";
import { t } from "./words.js";

export const VIEWS = ["slider", "onion", "side", "blink", "heat"];
const KIND_COLOURS = { changed: "#e6004c", added: "#00823c", removed: "#c85000", moved: "#145aeb" };
const IGNORED = "#7a5cff";
const SMALLEST_BOX = 10; // on the screen: one pixel is framed so that it is seen
const BLINK_MS = 600;
const REST_MS = 150;
const MOVING_SHARE = 0.6; // of the pixels that a picture at rest is drawn from

/** The picture and its halves, quarters and so on: a frame is drawn from the one that is just fine enough. */
class Levels {
	constructor(image) {
		this.levels = [{ image, width: image.naturalWidth || image.width }];
		this.ready = this.build(image);
	}

	async build(image) {
		let width = this.levels[0].width;
		let height = image.naturalHeight || image.height;
		try {
			// As a bitmap: of an element the browser makes a new copy for each zoom.
			this.levels[0].image = await createImageBitmap(image);
			while (Math.max(width, height) > 1400) {
				[width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
				const size = { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" };
				this.levels.push({ image: await createImageBitmap(this.levels.at(-1).image, size), width });
			}
		} catch {
			// Without them it is only slower.
		}
	}

	/** For so many pixels of the screen across the whole picture. */
	fine(across) {
		let best = this.levels[0];
		for (const level of this.levels) if (level.width >= across) best = level;
		return best;
	}
}

/** The affine part of the report's alignment, from reference to candidate pixels; null where there is none to draw. */
export function matrixOf(alignment) {
	if (!alignment || ["identical", "none", "bands", "unaligned"].includes(alignment.kind)) return null;
	if (alignment.matrix) {
		const [[a, c, e], [b, d, f], [g, h]] = alignment.matrix;
		return Math.abs(g) + Math.abs(h) > 1e-9 ? null : new DOMMatrix([a, b, c, d, e, f]);
	}
	const [across, down] = alignment.scales || [alignment.scale, alignment.scale];
	const angle = (alignment.rotation_deg * Math.PI) / 180;
	const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
	return new DOMMatrix([across * cos, down * sin, -across * sin, down * cos, ...alignment.shift]);
}

/** The upright box around a box that went through a matrix. */
function through(matrix, [x, y, width, height]) {
	const corners = [[x, y], [x + width, y], [x, y + height], [x + width, y + height]].map(([px, py]) =>
		matrix.transformPoint(new DOMPoint(px, py)),
	);
	const [xs, ys] = [corners.map((each) => each.x), corners.map((each) => each.y)];
	const [left, top] = [Math.min(...xs), Math.min(...ys)];
	return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class PairViewer extends HTMLElement {
	constructor() {
		super();
		this.view = "slider";
		this.zoom = 1;
		this.x = this.y = 0; // what of the reference's plane is in the middle
		this.split = this.mix = 0.5;
		this.selected = this.hovered = -1;
		this.differences = [];
		this.ignored = [];
		this.sizes = { reference: [1, 1], candidate: [1, 1] };
		this.layers = {};
		this.pointers = new Map();
		this.isFitted = this.isAligned = this.hasBoxes = true;
		this.isDrawing = this.isCandidateTurn = false;
		this.isBlinking = !matchMedia("(prefers-reduced-motion: reduce)").matches;
		this.chosen = -1; // of the ignored boxes
	}

	connectedCallback() {
		if (this.canvas) return;
		this.canvas = el("canvas", { tabindex: 0, role: "img" });
		this.context = this.canvas.getContext("2d", { alpha: false });
		this.bar = el("div", { class: "viewer-bar", role: "toolbar" });
		this.append(this.bar, el("div", { class: "viewer-stage" }, this.canvas));
		this.build(); // names itself anew with each language
		this.canvas.addEventListener("pointerdown", (event) => this.down(event));
		this.canvas.addEventListener("pointermove", (event) => this.move(event));
		for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, (event) => this.up(event));
		this.canvas.addEventListener("pointerleave", () => this.hover(-1));
		this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
		this.canvas.addEventListener("dblclick", (event) => (this.zoom < 1 ? this.zoomTo(1, event) : this.fit()));
		this.keys = (event) => this.key(event);
		document.addEventListener("keydown", this.keys);
		this.watch = new ResizeObserver(() => this.resize());
		this.watch.observe(this.canvas.parentElement);
		this.timer = setInterval(() => this.blink(), BLINK_MS);
	}

	disconnectedCallback() {
		document.removeEventListener("keydown", this.keys);
		this.watch.disconnect();
		clearInterval(this.timer);
	}

	/** The bar, in the language of now. */
	build() {
		const button = (name, press, label, attributes = {}) =>
			el("button", { type: "button", "data-do": name, onclick: press, title: t(`key.${name}`), ...attributes }, label);
		const group = (...parts) => el("span", { class: "viewer-group" }, parts);
		this.range = el("input", { type: "range", min: 0, max: 1000, value: 500, oninput: () => this.slide() });
		this.told = el("span", { class: "viewer-told" });
		this.count = el("span", { class: "viewer-told", "aria-live": "polite" });
		const views = VIEWS.map((view, at) =>
			button(view, () => this.see(view), t(`view.${view}`), { "data-view": view, title: `${t(`view.${view}`)} (${at + 1})` }),
		);
		this.bar.setAttribute("aria-label", t("viewer.bar"));
		this.canvas.setAttribute("aria-label", t("viewer.canvas"));
		this.range.setAttribute("aria-label", t("viewer.range"));
		this.bar.replaceChildren(
			el("span", { class: "viewer-group", role: "group", "aria-label": t("viewer.views") }, views),
			group(
				button("out", () => this.zoomTo(this.zoom / 1.5), "−", { "aria-label": t("key.out") }),
				this.told,
				button("in", () => this.zoomTo(this.zoom * 1.5), "+", { "aria-label": t("key.in") }),
				button("one", () => this.zoomTo(1), "1:1"),
				button("fit", () => this.fit(), t("viewer.fit")),
			),
			group(
				button("previous", () => this.step(-1), "‹", { "aria-label": t("key.previous") }),
				this.count,
				button("next", () => this.step(1), "›", { "aria-label": t("key.next") }),
			),
			group(
				button("boxes", () => this.toggle("hasBoxes"), t("viewer.boxes")),
				button("aligned", () => this.toggle("isAligned"), t("viewer.aligned")),
				button("ignore", () => this.toggle("isDrawing"), t("viewer.ignore"), { hidden: !this.hasAttribute("ignoring") }),
				button("png", () => this.download(), "PNG"),
			),
			this.range,
		);
		this.say();
	}

	/** What is to be seen; whatever is left out stays. `isNew`: another pair, seen from its beginning. */
	show({ reference, candidate, heat, sizes, alignment, differences, ignored, isNew }) {
		for (const [name, image] of Object.entries({ reference, candidate, heat })) {
			if (image === undefined) continue;
			const levels = (this.layers[name] = image && new Levels(image));
			levels?.ready.then(() => this.draw());
		}
		if (sizes) this.sizes = sizes;
		if (alignment !== undefined) this.matrix = matrixOf(alignment);
		if (differences) {
			this.differences = differences;
			this.selected = this.hovered = -1;
		}
		if (ignored) this.ignored = ignored;
		this.inverse = this.matrix?.inverse() ?? new DOMMatrix();
		if (isNew) this.fit();
		this.say();
		this.draw();
	}

	see(view) {
		this.view = view;
		this.range.value = 1000 * (view === "onion" ? this.mix : this.split);
		this.say();
		this.draw();
	}

	toggle(name) {
		this[name] = !this[name];
		this.chosen = -1;
		this.say();
		this.draw();
	}

	/** What the bar says of now. */
	say() {
		const pressed = { boxes: this.hasBoxes, aligned: this.isAligned, ignore: this.isDrawing };
		for (const button of this.bar.querySelectorAll("button")) {
			const name = button.dataset.do;
			if (button.dataset.view) button.setAttribute("aria-pressed", String(name === this.view));
			else if (name in pressed) button.setAttribute("aria-pressed", String(pressed[name]));
			if (name === "aligned") button.hidden = !this.matrix;
			if (name === "heat") button.disabled = !this.layers.heat;
			if (name === "previous" || name === "next") button.disabled = !this.differences.length;
		}
		this.range.hidden = !["slider", "onion"].includes(this.view);
		this.tellZoom();
		this.count.textContent = `${this.selected < 0 ? "–" : this.selected + 1} / ${this.differences.length}`;
		this.canvas.classList.toggle("is-drawing", this.isDrawing);
	}

	/** Both pictures in the reference's plane. */
	get plane() {
		const [width, height] = this.sizes.reference;
		const [x, y, w, h] = through(this.onto, [0, 0, ...this.sizes.candidate]);
		const [left, top] = [Math.min(0, x), Math.min(0, y)];
		return [left, top, Math.max(width, x + w) - left, Math.max(height, y + h) - top];
	}

	/** From the candidate's pixels to the reference's plane. */
	get onto() {
		return this.isAligned && this.inverse ? this.inverse : new DOMMatrix();
	}

	get panes() {
		const { clientWidth: width, clientHeight: height } = this.canvas;
		if (this.view !== "side") return [{ x: 0, width, height, which: "both" }];
		const half = (width - 6) / 2;
		return [
			{ x: 0, width: half, height, which: "reference" },
			{ x: half + 6, width: half, height, which: "candidate" },
		];
	}

	fit() {
		const [x, y, width, height] = this.plane;
		const pane = this.panes[0];
		this.zoom = clamp(Math.min((pane.width - 16) / width, (pane.height - 16) / height, 8), 0.005, 64);
		[this.x, this.y] = [x + width / 2, y + height / 2];
		this.isFitted = true;
		this.say();
		this.draw();
	}

	/** `at`: an event over the point that is to stay where it is. */
	zoomTo(zoom, at) {
		zoom = clamp(zoom, 0.005, 64);
		if (at) {
			const [px, py] = this.point(at);
			this.x = px + ((this.x - px) * this.zoom) / zoom;
			this.y = py + ((this.y - py) * this.zoom) / zoom;
		}
		this.zoom = zoom;
		this.tellZoom();
		this.moved();
	}

	pan(dx, dy) {
		const [x, y, width, height] = this.plane;
		this.x = clamp(this.x - dx / this.zoom, x, x + width);
		this.y = clamp(this.y - dy / this.zoom, y, y + height);
		this.moved();
	}

	/** By a zoom or a drag: as long as it goes on, a somewhat coarser level will do. */
	moved() {
		this.isFitted = false;
		this.isMoving = true;
		clearTimeout(this.rest);
		this.rest = setTimeout(() => {
			this.isMoving = false;
			this.draw();
		}, REST_MS);
		this.draw();
	}

	tellZoom() {
		this.told.textContent = `${this.zoom < 0.1 ? (this.zoom * 100).toFixed(1) : Math.round(this.zoom * 100)}%`;
	}

	slide() {
		this[this.view === "onion" ? "mix" : "split"] = this.range.value / 1000;
		this.draw();
	}

	blink() {
		if (this.view !== "blink" || !this.isBlinking) return;
		this.isCandidateTurn = !this.isCandidateTurn;
		this.draw();
	}

	step(by) {
		const count = this.differences.length;
		if (count) this.select((this.selected + by + (this.selected < 0 && by < 0 ? 1 : 0) + count) % count, true);
	}

	/** Light a difference up. `go`: bring it into the middle, large enough to be seen. */
	select(at, go = false) {
		this.selected = at;
		const found = this.differences[at];
		if (go && found) {
			const [x, y, width, height] = found.reference_box ?? through(this.onto, found.candidate_box);
			const pane = this.panes[0];
			const needed = clamp(Math.min((pane.width * 0.5) / width, (pane.height * 0.5) / height), 0.05, 4);
			if (this.zoom > needed * 1.5 || this.zoom < needed / 4 || this.isFitted) this.zoom = Math.max(needed, 0.05);
			[this.x, this.y] = [x + width / 2, y + height / 2];
			this.isFitted = false;
		}
		this.say();
		this.draw();
		this.dispatchEvent(new CustomEvent("picked", { detail: at }));
	}

	hover(at) {
		if (at === this.hovered) return;
		this.hovered = at;
		this.draw();
		this.dispatchEvent(new CustomEvent("hovered", { detail: at }));
	}

	// Pointers and keys.

	pane(event) {
		const x = event.clientX - this.canvas.getBoundingClientRect().left;
		return this.panes.findLast((pane) => x >= pane.x) ?? this.panes[0];
	}

	/** Of an event, in the reference's plane. */
	point(event) {
		const box = this.canvas.getBoundingClientRect();
		const pane = this.pane(event);
		return [
			(event.clientX - box.left - pane.x - pane.width / 2) / this.zoom + this.x,
			(event.clientY - box.top - pane.height / 2) / this.zoom + this.y,
		];
	}

	down(event) {
		this.canvas.focus({ preventScroll: true });
		this.canvas.setPointerCapture(event.pointerId);
		this.pointers.set(event.pointerId, event);
		const x = event.clientX - this.canvas.getBoundingClientRect().left;
		const isOnSplit = this.view === "slider" && Math.abs(x - this.split * this.canvas.clientWidth) < 14;
		this.act = this.isDrawing ? this.grip(event) : { kind: isOnSplit ? "split" : "pan", moved: 0 };
	}

	move(event) {
		const before = this.pointers.get(event.pointerId);
		if (!before) return this.hover(this.under(event));
		if (this.pointers.size === 2) this.pinch(event, before);
		else if (this.act.kind === "split") this.splitAt(event);
		else if (this.act.kind === "pan") {
			this.act.moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
			this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
		} else this.reshape(event);
		this.pointers.set(event.pointerId, event);
	}

	up(event) {
		if (!this.pointers.delete(event.pointerId)) return;
		if (this.act.kind === "pan" && this.act.moved < 4 && event.type === "pointerup") {
			const at = this.under(event);
			if (at >= 0) this.select(at);
		}
		if (this.act.box) {
			this.ignored = this.ignored.filter(([, , width, height]) => width >= 2 && height >= 2);
			this.chosen = Math.min(this.chosen, this.ignored.length - 1);
			this.tellIgnored();
		}
		this.act = { kind: "none" };
	}

	pinch(event, before) {
		const other = [...this.pointers.values()].find((each) => each.pointerId !== event.pointerId);
		const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
		this.zoomTo((this.zoom * apart(event)) / apart(before), event);
	}

	splitAt(event) {
		const box = this.canvas.getBoundingClientRect();
		this.split = clamp((event.clientX - box.left) / box.width, 0, 1);
		this.range.value = this.split * 1000;
		this.draw();
	}

	/** Over the page a wheel scrolls; over a viewer that was clicked, or with Ctrl, it zooms. */
	wheel(event) {
		if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.canvas) return;
		event.preventDefault();
		this.zoomTo(this.zoom * Math.exp(-clamp(event.deltaY, -200, 200) / 300), event);
	}

	key(event) {
		const isTyping = event.target.closest?.("input:not([type=range]), textarea, select, [contenteditable]");
		if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !this.offsetParent) return;
		const far = 80;
		const isMine = document.activeElement === this.canvas;
		const acts = {
			n: () => this.step(1),
			p: () => this.step(-1),
			"+": () => this.zoomTo(this.zoom * 1.5),
			"=": () => this.zoomTo(this.zoom * 1.5),
			"-": () => this.zoomTo(this.zoom / 1.5),
			0: () => this.fit(),
			b: () => this.toggle("hasBoxes"),
			...Object.fromEntries(VIEWS.map((view, at) => [at + 1, () => (view !== "heat" || this.layers.heat) && this.see(view)])),
			...(this.hasAttribute("ignoring") && { i: () => this.toggle("isDrawing") }),
			...(isMine && {
				ArrowLeft: () => this.pan(far, 0),
				ArrowRight: () => this.pan(-far, 0),
				ArrowUp: () => this.pan(0, far),
				ArrowDown: () => this.pan(0, -far),
				" ": () => this.pause(),
				Delete: () => this.remove(this.chosen),
			}),
		};
		if (!Object.hasOwn(acts, event.key)) return;
		event.preventDefault();
		acts[event.key]();
	}

	pause() {
		if (this.view !== "blink") return;
		this.isBlinking = false;
		this.isCandidateTurn = !this.isCandidateTurn;
		this.draw();
	}

	/** The smallest difference under the pointer, -1 where there is none. */
	under(event) {
		if (!this.hasBoxes || this.isDrawing) return -1;
		const [px, py] = this.point(event);
		const slack = 4 / this.zoom;
		let best = -1;
		let area = Infinity;
		this.differences.forEach((each, at) => {
			for (const [x, y, width, height] of this.boxesOf(each, this.pane(event).which)) {
				const isIn = px >= x - slack && py >= y - slack && px <= x + width + slack && py <= y + height + slack;
				if (isIn && width * height < area) [best, area] = [at, width * height];
			}
		});
		return best;
	}

	boxesOf(difference, which) {
		const mine = which !== "candidate" && difference.reference_box;
		const theirs = which !== "reference" && difference.candidate_box && through(this.onto, difference.candidate_box);
		const alone = which === "reference" ? difference.candidate_box && through(this.onto, difference.candidate_box) : null;
		const found = [mine, theirs].filter(Boolean);
		return found.length ? found : [alone ?? difference.reference_box].filter(Boolean);
	}

	// Boxes to ignore.

	grip(event) {
		const [px, py] = this.point(event);
		const reach = 9 / this.zoom;
		for (const [at, [x, y, width, height]] of [...this.ignored.entries()].reverse()) {
			if (Math.hypot(px - x - width, py - y - height) < reach) return this.taken("size", at, [x, y]);
			if (px >= x && py >= y && px <= x + width && py <= y + height) return this.taken("place", at, [px - x, py - y]);
		}
		if (this.ignored.length >= 64) return { kind: "none" };
		const [x, y] = this.inside(px, py);
		this.ignored = [...this.ignored, [x, y, 0, 0]];
		return this.taken("size", this.ignored.length - 1, [x, y]);
	}

	taken(kind, at, from) {
		this.chosen = at;
		this.draw();
		return { kind, at, from, box: true };
	}

	inside(px, py) {
		const [width, height] = this.sizes.reference;
		return [clamp(Math.round(px), 0, width), clamp(Math.round(py), 0, height)];
	}

	reshape(event) {
		if (!this.act.box) return;
		const [px, py] = this.point(event);
		const { kind, at, from } = this.act;
		const [, , width, height] = this.ignored[at];
		if (kind === "place") {
			const [w, h] = this.sizes.reference;
			const x = clamp(Math.round(px - from[0]), 0, Math.max(0, w - width));
			this.ignored[at] = [x, clamp(Math.round(py - from[1]), 0, Math.max(0, h - height)), width, height];
		} else {
			const [x, y] = this.inside(px, py);
			const [left, top] = [Math.min(x, from[0]), Math.min(y, from[1])];
			this.ignored[at] = [left, top, Math.max(x, from[0]) - left, Math.max(y, from[1]) - top];
		}
		this.draw();
	}

	remove(at) {
		if (!this.ignored[at]) return;
		this.ignored = this.ignored.filter((_, other) => other !== at);
		this.chosen = -1;
		this.tellIgnored();
	}

	tellIgnored() {
		this.draw();
		this.dispatchEvent(new CustomEvent("ignored", { detail: this.ignored.map((box) => [...box]) }));
	}

	// Drawing.

	resize() {
		const ratio = window.devicePixelRatio || 1;
		const { clientWidth, clientHeight } = this.canvas.parentElement;
		this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
		this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
		if (this.isFitted) this.fit();
		this.draw();
	}

	draw() {
		if (this.isAsked || !this.canvas) return;
		this.isAsked = true;
		requestAnimationFrame(() => {
			this.isAsked = false;
			this.paint();
		});
	}

	paint() {
		const pen = this.context;
		const ratio = this.canvas.width / (this.canvas.clientWidth || 1);
		pen.setTransform(1, 0, 0, 1, 0, 0);
		pen.fillStyle = getComputedStyle(this).getPropertyValue("--stage").trim() || "#ddd";
		pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
		for (const pane of this.panes) this.paintPane(pen, pane, ratio);
	}

	paintPane(pen, pane, ratio) {
		const part = (from, to, paint) => {
			pen.save();
			pen.setTransform(ratio, 0, 0, ratio, pane.x * ratio, 0);
			pen.beginPath();
			pen.rect(from, 0, to - from, pane.height);
			pen.clip();
			pen.translate(pane.width / 2, pane.height / 2);
			pen.scale(this.zoom, this.zoom);
			pen.translate(-this.x, -this.y);
			paint();
			pen.restore();
		};
		const see = (name, alpha = 1) => this.paintLayer(pen, name, alpha, ratio);
		const whole = (names, which) =>
			part(0, pane.width, () => {
				names.forEach(([name, alpha]) => see(name, alpha));
				this.paintBoxes(pen, which);
			});
		if (pane.which !== "both") whole([[pane.which]], pane.which);
		else if (this.view === "onion") whole([["reference", this.mix < 1], ["candidate", this.mix]], "both");
		else if (this.view === "heat") whole([["heat"]], "reference");
		else if (this.view === "blink") {
			const name = this.isCandidateTurn ? "candidate" : "reference";
			whole([[name]], name);
		} else {
			const at = this.split * pane.width;
			for (const [from, to, name] of [[0, at, "reference"], [at, pane.width, "candidate"]])
				part(from, to, () => {
					see(name);
					this.paintBoxes(pen, name);
				});
			this.paintSplit(pen, at, pane.height, ratio);
		}
		this.paintName(pen, pane, ratio);
	}

	paintLayer(pen, name, alpha, ratio) {
		const levels = this.layers[name];
		if (!levels || !alpha) return;
		const [width, height] = this.sizes[name === "candidate" ? "candidate" : "reference"];
		pen.save();
		pen.globalAlpha = alpha;
		let across = width * this.zoom * ratio;
		if (name === "candidate") {
			const matrix = this.onto;
			pen.transform(matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f);
			across *= Math.hypot(matrix.a, matrix.b);
		}
		const level = levels.fine(this.isMoving ? across * MOVING_SHARE : across);
		pen.imageSmoothingEnabled = across < level.width * 2; // from twice its size on pixels are squares
		pen.drawImage(level.image, 0, 0, width, height);
		pen.restore();
	}

	paintBoxes(pen, which) {
		const px = 1 / this.zoom;
		if (this.hasBoxes)
			this.differences.forEach((each, at) => {
				const isLit = at === this.selected || at === this.hovered;
				for (const box of this.boxesOf(each, which)) this.frame(pen, box, KIND_COLOURS[each.kind] ?? "#888", isLit, at + 1);
			});
		this.ignored.forEach((box, at) => {
			pen.fillStyle = `${IGNORED}55`;
			pen.fillRect(...box);
			this.frame(pen, box, IGNORED, this.isDrawing && at === this.chosen, "");
			if (this.isDrawing) pen.fillRect(box[0] + box[2] - 5 * px, box[1] + box[3] - 5 * px, 10 * px, 10 * px);
		});
	}

	frame(pen, [x, y, width, height], colour, isLit, label) {
		const px = 1 / this.zoom;
		const grow = (side) => Math.max(3 * px, (SMALLEST_BOX * px - side) / 2);
		const [left, top] = [x - grow(width), y - grow(height)];
		const box = [left, top, width + 2 * grow(width), height + 2 * grow(height)];
		pen.lineWidth = (isLit ? 6 : 4) * px;
		pen.strokeStyle = "#ffffffd0";
		pen.strokeRect(...box);
		pen.lineWidth = (isLit ? 3.5 : 2) * px;
		pen.strokeStyle = colour;
		pen.strokeRect(...box);
		if (label === "" || (!isLit && this.differences.length > 40)) return;
		pen.font = `600 ${12 * px}px system-ui, sans-serif`;
		const wide = pen.measureText(label).width + 8 * px;
		pen.fillStyle = colour;
		pen.fillRect(left, top - 16 * px, wide, 16 * px);
		pen.fillStyle = "#fff";
		pen.fillText(label, left + 4 * px, top - 4 * px);
	}

	paintSplit(pen, at, height, ratio) {
		pen.setTransform(ratio, 0, 0, ratio, 0, 0);
		pen.fillStyle = "#fff";
		pen.fillRect(at - 2, 0, 4, height);
		pen.fillStyle = "#22314a";
		pen.fillRect(at - 0.75, 0, 1.5, height);
		pen.beginPath();
		pen.arc(at, height - 40, 13, 0, 7); // low: what one looks at lies in the middle
		pen.fill();
		pen.strokeStyle = "#fff";
		pen.lineWidth = 2;
		pen.stroke();
	}

	paintName(pen, pane, ratio) {
		const names = { blink: this.isCandidateTurn ? "candidate" : "reference" };
		const name = pane.which === "both" ? names[this.view] : pane.which;
		const here = this.layers.reference === null && this.layers.candidate === null ? ["absent"] : [name];
		const both = this.view === "slider" && here[0] !== "absent" ? ["reference", "candidate"] : here;
		pen.setTransform(ratio, 0, 0, ratio, pane.x * ratio, 0);
		pen.font = "600 12px system-ui, sans-serif";
		both.filter(Boolean).forEach((each, at) => {
			const wide = pen.measureText(t(each)).width + 14;
			const x = at ? pane.width - wide - 8 : 8;
			pen.fillStyle = "#101828c0";
			pen.fillRect(x, pane.height - 28, wide, 20);
			pen.fillStyle = "#fff";
			pen.fillText(t(each), x + 7, pane.height - 14);
		});
	}

	download() {
		this.isMoving = false;
		this.paint();
		this.canvas.toBlob((blob) => {
			const url = URL.createObjectURL(blob);
			save(`pairlens-${this.view}.png`, url);
			setTimeout(() => URL.revokeObjectURL(url), 10000);
		});
	}
}

customElements.define("pair-viewer", PairViewer);
