// The last comparisons, in this browser alone: bounded in number and in bytes, the oldest go first.
// What can't be kept is not kept, and nothing else fails for it.

const MOST = 12;
const MOST_BYTES = 96e6;

function opened() {
	return new Promise((done, failed) => {
		const asked = indexedDB.open("pairlens", 1);
		asked.onupgradeneeded = () => asked.result.createObjectStore("recent", { keyPath: "id", autoIncrement: true });
		asked.onsuccess = () => done(asked.result);
		asked.onerror = () => failed(asked.error);
	});
}

async function store(mode, act) {
	const database = await opened();
	try {
		return await new Promise((done, failed) => {
			const asked = act(database.transaction("recent", mode).objectStore("recent"));
			asked.onsuccess = () => done(asked.result);
			asked.onerror = () => failed(asked.error);
		});
	} finally {
		database.close();
	}
}

export const recent = async () => (await store("readonly", (each) => each.getAll()).catch(() => [])).reverse();

export const forget = (id) => store("readwrite", (each) => each.delete(id)).catch(() => {});

/** `entry`: {report, config, reference, candidate}, the pictures as files. */
export async function keep(entry) {
	const size = (each) => each.reference.size + each.candidate.size + 1e5;
	if (size(entry) > MOST_BYTES / 2) return;
	try {
		await store("readwrite", (each) => each.add({ ...entry, time: Date.now() }));
		let bytes = 0;
		for (const [at, each] of (await recent()).entries()) {
			bytes += size(each);
			if (at >= MOST || bytes > MOST_BYTES) await forget(each.id);
		}
	} catch {
		// A private window, or no room left.
	}
}
