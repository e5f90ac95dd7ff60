// Jobs and batches left at this service: how far they are, cancelled, and what came of them.
import { ask } from "./asking.js";
import { el } from "./dom.js";
import { t } from "./words.js";

const AGAIN_MS = 2000;
const outcome = (name) => t(name === "added" || name === "removed" ? `kind.${name}` : name);
const isAtWork = (each) => each.status === "queued" || each.status === "running";

export class Work {
	/** `open`: shows the report of a job or batch, and of which candidate. */
	constructor(section, open) {
		this.section = section;
		this.list = section.querySelector("#work-list");
		this.results = section.querySelector("#work-results");
		this.open = open;
		document.addEventListener("visibilitychange", () => document.hidden || this.look());
	}

	/** Once now, and again while something is at work and somebody looks. */
	async look(isForced = false) {
		clearTimeout(this.timer);
		const found = await Promise.allSettled([ask("v1/jobs?limit=20"), ask("v1/batches?limit=20")]);
		const [jobs, batches] = found.map(({ value }, at) => value?.[at ? "batches" : "jobs"] ?? []);
		this.section.hidden = !jobs.length && !batches.length;
		const rows = [...batches.map((each) => this.row(each, "batches")), ...jobs.map((each) => this.row(each, "jobs"))];
		const table = el("table", { class: "work" }, el("tbody", {}, rows));
		if (isForced || !this.list.contains(document.activeElement)) this.list.replaceChildren(table);
		if (!document.hidden && [...jobs, ...batches].some(isAtWork)) this.timer = setTimeout(() => this.look(), AGAIN_MS);
	}

	row(each, kind) {
		const done = kind === "batches" ? each.num_done / each.num_pairs : each.status === "queued" ? 0 : null;
		const told = kind === "batches" ? `${each.num_done}/${each.num_pairs}` : (each.stage ?? "");
		const counts = Object.entries(each.outcomes ?? {}).filter(([, count]) => count);
		const act = (name, press) => el("button", { type: "button", onclick: () => press().catch(() => {}).then(() => this.look(true)) }, t(name));
		return el(
			"tr",
			{},
			el("td", {}, t(kind), " ", el("code", {}, each.id.slice(0, 8))),
			el("td", {}, t(`work.${each.status}`), each.position ? ` (${each.position})` : ""),
			el("td", {}, isAtWork(each) ? el("progress", { max: 1, value: done, "aria-label": t(`work.${each.status}`) }) : null, ` ${told}`),
			el("td", {}, counts.map(([name, count]) => [el("span", { class: name }, `${count} ${outcome(name)}`), " "]), each.error?.detail ?? ""),
			el(
				"td",
				{},
				isAtWork(each) && act("do.cancel", () => ask(`v1/${kind}/${each.id}`, { method: "DELETE" })),
				kind === "jobs" && each.status === "succeeded" && act("do.show", () => this.job(each.id)),
				kind === "batches" && each.num_done > 0 && act("do.show", () => this.batch(each.id)),
			),
		);
	}

	async job(id) {
		this.open((await ask(`v1/jobs/${id}`)).report, id);
	}

	async batch(id, cursor = "", shown = []) {
		const page = await ask(`v1/batches/${id}/results?limit=50${cursor && `&cursor=${cursor}`}`);
		const rows = page.results.map((each) =>
			el(
				"tr",
				{},
				el("td", {}, each.name),
				el("td", { class: each.outcome }, outcome(each.outcome)),
				el("td", {}, each.report?.similarity.toFixed(3) ?? ""),
				el("td", {}, each.report?.summary ?? each.error?.detail ?? ""),
				el("td", {}, each.report && el("button", { type: "button", onclick: () => this.open(each.report, id, each.candidate) }, t("do.show"))),
			),
		);
		const more = page.next_cursor && page.results.length
			? el("button", { type: "button", onclick: () => this.batch(id, page.next_cursor, [...shown, ...rows]) }, t("do.more"))
			: null;
		this.results.replaceChildren(el("table", { class: "work" }, el("tbody", {}, shown, rows)), more ?? "");
	}
}
