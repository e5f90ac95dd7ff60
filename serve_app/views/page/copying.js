// The comparison that was made, as a line for a shell and as a program. File names are strangers' text: always quoted.

const plain = (text) => text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "_");
const shell = (text) => `'${plain(text).replaceAll("'", `'\\''`)}'`;
const path = (name) => (name.startsWith("-") ? `./${name}` : name);
// A form's file name may hold a comma or a semicolon only in quotes of its own.
const part = (side, name) => shell(`${side}=@"${path(name).replace(/["\\]/g, "\\$&")}"`);
// Python reads JSON's strings as they are.
const string = (text) => JSON.stringify(plain(text));

export const COPIES = {
	curl: ({ base, names, config }) =>
		`curl -F ${part("reference", names[0])} -F ${part("candidate", names[1])} \\\n  -F ${shell(`config=${JSON.stringify(config)}`)} ${shell(`${base}v1/compare`)}`,
	Python: ({ base, names, config }) =>
		[
			"import json, pairlens",
			"from serve_app.schema import ImageComparisonConfig",
			"",
			`config = ImageComparisonConfig.model_validate_json(${string(JSON.stringify(config))})`,
			`report = pairlens.Client(${string(base)}).compare(${string(names[0])}, ${string(names[1])}, config)`,
			"print(report.verdict, report.similarity)",
		].join("\n"),
	CLI: ({ base, names, config }) =>
		`pairlens compare ${shell(path(names[0]))} ${shell(path(names[1]))} \\\n  --config ${shell(JSON.stringify(config))} --server ${shell(base)}`,
};
