// Asks the service: answers in its envelope, streams as events, and every way to get none as one kind of trouble.
// Shows nothing.

export class Trouble extends Error {
	/** `kind`: unreachable, cut, or refused with `status`, `type` and the service's own `detail`. */
	constructor(kind, told = {}) {
		super(kind);
		Object.assign(this, { kind, status: 0, type: "", detail: "", retryAfter: null, ...told });
	}
}

let key = sessionStorage.getItem("pairlens-key") ?? "";

export function useKey(given) {
	key = given;
	sessionStorage.setItem("pairlens-key", given);
}

function refusal(envelope, retryAfter) {
	const { type = "internal", detail = "", field, faults } = envelope?.error ?? {};
	const told = [detail, field, ...(faults ?? [])].filter(Boolean).join(" ");
	return new Trouble("refused", { status: envelope?.code ?? 500, type, detail: told, retryAfter });
}

async function sent(path, options = {}) {
	const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
	let answer;
	try {
		answer = await fetch(path, { ...options, headers });
	} catch (fault) {
		throw fault.name === "AbortError" ? fault : new Trouble("unreachable");
	}
	if (answer.ok) return answer;
	const after = Number(answer.headers.get("Retry-After"));
	throw refusal(await answer.json().catch(() => ({ code: answer.status })), after > 0 ? after : null);
}

export const ask = async (path, options) => (await (await sent(path, options)).json()).data;

export const blobOf = async (path, options) => (await sent(path, options)).blob();

/** Each event of a stream as `[name, data]`, until the report; throws what the stream was refused or broken off with. */
export async function* events(path, options) {
	const reader = (await sent(path, options)).body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	while (true) {
		const { done, value } = await reader.read().catch((fault) => {
			throw fault.name === "AbortError" ? fault : new Trouble("cut");
		});
		if (done) throw new Trouble("cut");
		text += value;
		const blocks = text.split(/\r?\n\r?\n/);
		text = blocks.pop();
		for (const block of blocks) {
			const fields = Object.fromEntries(block.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s, 2)));
			if (!fields.data) continue;
			const data = JSON.parse(fields.data);
			if (fields.event === "error") throw refusal(data, fields.retry ? Number(fields.retry) / 1000 : null);
			yield [fields.event, data];
			if (fields.event === "report") return;
		}
	}
}

export function form(files, config, named = ["reference", "candidate"]) {
	const body = new FormData();
	files.forEach((file, at) => body.append(named[at] ?? named.at(-1), file, file.name || "picture"));
	body.append("config", JSON.stringify(config));
	return body;
}
