"use strict";
// Rows by outcome and by words: all of them are in the page, which also serves where no script runs.
const filter = document.querySelector("#filter");
const rows = [...document.querySelectorAll("tbody tr")].map((row) => ({ row, outcome: row.dataset.outcome, text: row.textContent.toLowerCase() }));

function look() {
	const outcomes = new Set([...filter.querySelectorAll(":checked")].map((each) => each.value));
	const words = filter.querySelector("#words").value.toLowerCase();
	let shown = 0;
	for (const { row, outcome, text } of rows) {
		row.hidden = !outcomes.has(outcome) || !text.includes(words);
		shown += !row.hidden;
	}
	filter.querySelector("#count").textContent = `${shown} of ${rows.length}`;
}

filter.hidden = false;
filter.addEventListener("input", look);
filter.addEventListener("submit", (event) => event.preventDefault());
look();
