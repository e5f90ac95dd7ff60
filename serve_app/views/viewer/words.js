// What the page and the report say, in the language of now; what a file or a model says is data and no word of ours.

let words = {};
let language = "en";

export function speak(code, table) {
	language = code;
	words = table;
}

export const spoken = () => language;
export const isSaid = (name) => Object.hasOwn(words, name);

/** A sentence of ours with values in its gaps; an unknown name is told as it is. */
export function t(name, values = {}) {
	const told = isSaid(name) ? words[name] : name.split(".").at(-1);
	return told.replace(/\{(\w+)\}/g, (gap, key) => (Object.hasOwn(values, key) ? String(values[key]) : gap));
}
