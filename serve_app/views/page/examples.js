// Pairs drawn here, so that there is something to try: no file is loaded for them.

function drawn(width, height, draw) {
	const canvas = Object.assign(document.createElement("canvas"), { width, height });
	const pen = canvas.getContext("2d");
	const box = (x, y, w, h, fill, round = 14) => {
		pen.fillStyle = fill;
		pen.beginPath();
		pen.roundRect(x, y, w, h, round);
		pen.fill();
	};
	const say = (text, x, y, size, fill, weight = 400) => {
		pen.fillStyle = fill;
		pen.font = `${weight} ${size}px system-ui, sans-serif`;
		pen.fillText(text, x, y);
	};
	draw(box, say);
	return new Promise((done) => canvas.toBlob(done, "image/png"));
}

const label = (price) => (box, say) => {
	box(0, 0, 900, 640, "#e9e2d3", 0);
	box(40, 40, 820, 560, "#fffdf7", 30);
	box(40, 40, 820, 170, "#24483e", 30);
	say("ALPENHOF", 90, 130, 72, "#f6ecd2", 700);
	say("Aged Cheese", 90, 300, 60, "#1d2430", 600);
	say("best before 04/12", 92, 540, 26, "#1d2430");
	box(560, 400, 260, 150, "#b3261e", 22);
	say(price, 585, 493, 58, "#ffffff", 700);
};

const board = (at, done) => (box, say) => {
	box(0, 0, 1200, 720, "#f3f4f7", 0);
	box(0, 0, 1200, 76, "#22314a", 0);
	say("Deliveries", 36, 50, 32, "#ffffff", 600);
	box(36, 110, 350, 200, "#ffffff");
	say("On time", 64, 160, 26, "#5b6675");
	say(done, 64, 250, 72, "#176f2c", 700);
	box(at, 110, 350, 200, "#ffffff");
	say("Late", at + 28, 160, 26, "#5b6675");
	say("12", at + 28, 250, 72, "#b3261e", 700);
	box(36, 350, 1128, 330, "#ffffff");
	[120, 180, 140, 230, 200, 260, 210].forEach((tall, day) => box(100 + day * 150, 640 - tall, 80, tall, "#4a7fd0", 8));
};

export const EXAMPLES = {
	"example.label": () => Promise.all([drawn(900, 640, label("¥12.80")), drawn(900, 640, label("¥13.80"))]),
	"example.board": () => Promise.all([drawn(1200, 720, board(425, "96%")), drawn(1200, 720, board(814, "94%"))]),
};
