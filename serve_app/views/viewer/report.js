// A report as elements: verdict, reason, text first, differences, aspects, elements, what was read, where time went.
// Knows no viewer: who picks or points at a difference is told by number.
import { bytes, el, milliseconds, percent } from "./dom.js";
import { t } from "./words.js";

const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

function numbers(report) {
	const [low, high] = report.similarity_interval;
	return {
		similarity: report.similarity.toFixed(3),
		low: low.toFixed(3),
		high: high.toFixed(3),
		threshold: report.similarity_threshold,
		count: report.differences.length + report.measurement.further_differences,
		ratio: percent(report.measurement.changed_ratio, 2),
	};
}

/** The verdict's reason in one sentence. */
export function reason(report) {
	const why = () => {
		if (report.measurement.identical) return "identical";
		if (report.verdict_reason && report.verdict_reason !== "similarity") return report.verdict_reason;
		if (report.verdict === "match") return report.similarity < report.similarity_threshold ? "none" : "above";
		return report.verdict === "uncertain" ? "inside" : "below";
	};
	return t(`why.${why()}`, numbers(report));
}

/** `report` may be what was measured so far: parts that aren't there are left out. */
export function reportOf(report, { pick = () => {}, point = () => {} } = {}) {
	const rows = [];
	const root = el(
		"div",
		{ class: "report" },
		report.verdict && verdict(report),
		scale(report),
		report.summary && el("p", {}, report.summary),
		list(report, rows, pick, point),
		report.aspects && aspects(report.aspects, report.model.status === "answered"),
		report.focus_elements?.length ? focus(report.focus_elements) : null,
		read(report.measurement.text),
		report.timings_ms && times(report.timings_ms),
		facts(report),
		report.warnings?.length
			? [el("h2", {}, t("warnings")), el("ul", { class: "warnings" }, report.warnings.map((each) => el("li", {}, each)))]
			: null,
	);
	const light = (at) => {
		rows.forEach((row, number) => {
			row.classList.toggle("is-lit", number === at);
			if (number === at) row.setAttribute("aria-current", "true");
			else row.removeAttribute("aria-current");
		});
		rows[at]?.scrollIntoView({ block: "nearest" });
	};
	return { root, light };
}

function verdict(report) {
	return el(
		"p",
		{ class: "verdict" },
		el("span", { class: `badge ${report.verdict}` }, t(report.verdict)),
		el("strong", {}, reason(report)),
	);
}

function scale(report) {
	const [low, high] = report.similarity_interval;
	const bar = el("div", { class: "scale", role: "img", "aria-label": t("similarity", numbers(report)) });
	const put = (name, left, width) => {
		const part = el("i", { class: name });
		part.style.left = percent(left);
		if (width !== undefined) part.style.width = percent(width);
		bar.append(part);
	};
	put("interval", low, high - low);
	put("value", report.similarity);
	put("threshold", report.similarity_threshold);
	return [el("div", { class: "fact" }, t("similarity", numbers(report))), bar];
}

/** Differences with words first, each with its number in the pictures. */
function list(report, rows, pick, point) {
	const entries = report.differences.map((each, at) => ({ each, at }));
	const worded = entries.filter(({ each }) => each.text);
	const others = entries.filter(({ each }) => !each.text);
	const lines = (some) =>
		el("ol", {}, some.map(({ each, at }) => el("li", {}, (rows[at] = difference(each, at, pick, point)))));
	const more = report.measurement.further_differences;
	return [
		worded.length ? [el("h2", {}, t("texts")), lines(worded)] : null,
		others.length ? [el("h2", {}, t("differences")), lines(others)] : null,
		entries.length ? null : el("p", {}, t("nothing")),
		more ? el("p", { class: "quiet" }, t("further", { count: more })) : null,
	];
}

function difference(each, at, pick, point) {
	const box = each.candidate_box ?? each.reference_box;
	return el(
		"button",
		{
			type: "button",
			class: `difference ${each.kind}`,
			onclick: () => pick(at),
			onpointerenter: () => point(at),
			onpointerleave: () => point(-1),
			onfocus: () => point(at),
		},
		el("b", {}, at + 1),
		each.text ? [words(each.text), (each.further_texts ?? []).map(words)] : null,
		each.description,
		" ",
		el("small", {}, t(`kind.${each.kind}`), " · ", t("severity", { severity: score(each.severity) }), box ? ` · ${box.join(",")} ` : " "),
		el("span", { class: `mark ${each.evidence}` }, t(`evidence.${each.evidence}`)),
	);
}

/** A line of text before and after, the words that changed struck out and put in. */
function words(text) {
	const marked = (line, word, tag) => {
		const at = word ? line.indexOf(word) : -1;
		if (at < 0) return el(tag, {}, line);
		return [line.slice(0, at), el(tag, {}, word), line.slice(at + word.length)];
	};
	const sides = [
		text.reference === null ? null : marked(text.reference, text.reference_word, "del"),
		text.candidate === null ? null : marked(text.candidate, text.candidate_word, "ins"),
	].filter((side) => side !== null);
	const isSame = text.reference === text.candidate;
	return el(
		"span",
		{ class: "words" },
		isSame ? text.reference : sides.length === 2 ? [sides[0], " → ", sides[1]] : sides,
		" ",
		el("small", {}, t(`kind.${text.kind}`), " · ", percent(text.confidence, 0)),
	);
}

function bar(value, name) {
	const fill = el("b");
	fill.style.width = percent(value ?? 0);
	return el("i", { class: name }, fill);
}

/** Without an answer of the model an aspect's score is the measured one. */
function aspects(found, isAssessed) {
	const row = (each) =>
		el(
			"tr",
			{},
			el("td", {}, each.name),
			el("td", {}, el("span", { class: "bars", "aria-hidden": "true" }, bar(each.measured_score, "measured"), isAssessed && bar(each.score, "model"))),
			el("td", {}, score(each.measured_score)),
			isAssessed && el("td", {}, score(each.score)),
		);
	const told = (each) => el("tr", {}, el("td", { colspan: 4, class: "quiet" }, each.explanation));
	const head = ["", "", t("measured"), ...(isAssessed ? [t("model")] : [])].map((name) => (name ? el("th", { scope: "col" }, name) : el("td")));
	return [el("h2", {}, t("aspects")), el("table", { class: "grid" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, found.map((each) => [row(each), told(each)])))];
}

function focus(found) {
	const row = (each) =>
		el("tr", {}, el("td", {}, each.name), el("td", {}, t(`kind.${each.status}`)), el("td", {}, score(each.score)), el("td", { class: "quiet" }, each.explanation));
	return [el("h2", {}, t("focus")), el("table", { class: "grid" }, el("tbody", {}, found.map(row)))];
}

function read(text) {
	if (!text || text.status === "off") return null;
	const model = [text.model, text.engine].filter(Boolean).join(", ");
	return [el("h2", {}, t("read")), el("p", { class: "fact" }, t(`read.${text.status}`, { lines: text.lines, model }))];
}

function times(spent) {
	const stages = ["queue", "prepare", "measure", "read", "assess"].filter((name) => spent[name] > 0);
	const whole = stages.reduce((sum, name) => sum + spent[name], 0) || 1;
	const strip = stages.map((name) => {
		const part = el("i", { class: name });
		part.style.width = percent(spent[name] / whole);
		return part;
	});
	const told = stages.map((name) => `${t(`time.${name}`)} ${milliseconds(spent[name])}`).join(" · ");
	return [
		el("h2", {}, t("times", { total: milliseconds(spent.total) })),
		el("div", { class: "times", role: "img", "aria-label": told }, strip),
		el("div", { class: "fact" }, told),
	];
}

function facts(report) {
	const { measurement: found, images, model } = report;
	const image = (each) => `${each.width} × ${each.height} ${each.format}, ${bytes(each.bytes)} ${each.decode_notes.join("; ")}`;
	const row = (name, told) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, told));
	const changed = { ratio: percent(found.changed_ratio, 2), ssim: found.ssim.toFixed(3), delta: found.color_delta_e.toFixed(2) };
	return [
		el("h2", {}, t("facts")),
		el(
			"table",
			{ class: "grid fact" },
			el(
				"tbody",
				{},
				row(t("measured"), t("fact.changed", changed)),
				row(t("fact.alignment"), t(`lies.${found.alignment.kind}`)),
				row(t("reference"), image(images.reference)),
				row(t("candidate"), image(images.candidate)),
				model && row(t("model"), [model.engine, model.name, model.revision, model.status].filter(Boolean).join(" · ")),
				report.report_id && row(t("fact.id"), report.report_id),
			),
		),
	];
}
