// Elements from plain values. Text is always textContent: nothing here can become markup.

/** An element: `attributes` by name (`on…` is a listener, `class` a string), then children, strings among them. */
export function el(tag, attributes = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === null || value === undefined || value === false) continue;
		if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
		else made.setAttribute(name, value === true ? "" : String(value));
	}
	made.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
	return made;
}

export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)}%`;

export const milliseconds = (ms) => (ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`);

export const bytes = (size) => (size >= 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.ceil(size / 1000)} kB`);

/** A picture from a URL that is a blob's or an image's data, ready to be drawn; rejects where the browser can't show it. */
export async function picture(url) {
	if (!/^(blob:|data:image\/(png|jpeg|webp);)/.test(url)) throw new TypeError("not a picture");
	const image = new Image();
	image.src = url;
	await image.decode();
	return image;
}

export function save(name, url) {
	const link = el("a", { href: url, download: name });
	link.click();
}
