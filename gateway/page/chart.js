// Candles of the chosen market, from the history, as SVG. What the query server does not answer leaves only a line of text.
"use strict";

const CHART_MS = 2000;
const CANDLES = 120;
const WIDTH = 960;
const HEIGHT = 260;
const VOLUME_HEIGHT = 46;
const AXIS_WIDTH = 78;
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Prices stay text in the labels; their places in the picture may be rounded.
function drawCandles(candles) {
  const highest = Math.max(...candles.map((candle) => Number(candle.high)));
  const lowest = Math.min(...candles.map((candle) => Number(candle.low)));
  const largest = Math.max(...candles.map((candle) => Number(candle.volume))) || 1;
  const span = highest - lowest || highest * 0.001 || 1;
  const floor = HEIGHT - VOLUME_HEIGHT - 18;
  const y = (price) => 8 + ((highest - price) / span) * (floor - 8);
  const step = (WIDTH - AXIS_WIDTH) / CANDLES;
  const drawn = [];
  for (const price of [highest, (highest + lowest) / 2, lowest]) {
    const decimals = (candles[0].close.split(".")[1] ?? "").length;
    drawn.push(shape("line", { x1: 0, x2: WIDTH - AXIS_WIDTH, y1: y(price), y2: y(price), class: "grid" }));
    drawn.push(shape("text", { x: WIDTH - AXIS_WIDTH + 6, y: y(price) + 4 }, price.toFixed(decimals)));
  }
  candles.forEach((candle, place) => {
    const [open, close] = [Number(candle.open), Number(candle.close)];
    const middle = (place + CANDLES - candles.length + 0.5) * step;
    const colour = close >= open ? "rises" : "falls";
    const group = shape("g", { class: colour });
    const bar = (Number(candle.volume) / largest) * VOLUME_HEIGHT;
    const width = Math.max(1, step * 0.7);
    const body = Math.max(1, Math.abs(y(open) - y(close)));
    group.append(
      shape("title", {}, `${candle.opens_at.slice(0, 19)}Z\nopen ${candle.open}, high ${candle.high}, low ${candle.low}, ` +
        `close ${candle.close}\nvolume ${candle.volume}, ${candle.trades} trades`),
      shape("line", { x1: middle, x2: middle, y1: y(Number(candle.high)), y2: y(Number(candle.low)) }),
      shape("rect", { x: middle - width / 2, width, y: Math.min(y(open), y(close)), height: body }),
      shape("rect", { x: middle - width / 2, width, y: HEIGHT - 14 - bar, height: bar, class: "volume" }),
    );
    drawn.push(group);
  });
  const ends = [candles[0], candles[candles.length - 1]].map((candle) => candle.opens_at.slice(0, 19).replace("T", " "));
  const first = (CANDLES - candles.length) * step;
  if (candles.length > CANDLES / 3) drawn.push(shape("text", { x: first, y: HEIGHT - 2 }, ends[0]));
  drawn.push(shape("text", { x: WIDTH - AXIS_WIDTH, y: HEIGHT - 2, "text-anchor": "end" }, `${ends[1]} UTC`));
  $("candles").replaceChildren(...drawn);
}

async function refreshChart() {
  if (!chosen || markets.length === 0) return;
  const [market, interval] = [chosen, $("interval").value];
  const query = `market=${encodeURIComponent(market)}&interval=${interval}&limit=${CANDLES}`;
  const answer = await get(`/v1/history/candles?${query}`);
  if (market !== chosen || interval !== $("interval").value) return;
  if (answer.candles.length > 0) drawCandles(answer.candles);
  $("candles").toggleAttribute("hidden", answer.candles.length === 0);
  $("chart-notice").textContent = answer.candles.length > 0 ? `as of sequence ${answer.as_of_sequence}` : "No trade yet.";
  $("all-trades").href = `/v1/history/trades?market=${encodeURIComponent(market)}&format=csv`;
}

async function pollChart() {
  try {
    await refreshChart();
  } catch (error) {
    $("chart-notice").textContent = `The history cannot be asked at the moment (${error.message}).`;
  }
  setTimeout(pollChart, CHART_MS);
}

for (const id of ["interval", "market"]) {
  $(id).addEventListener("change", () => refreshChart().catch(() => {}));
}

pollChart();
