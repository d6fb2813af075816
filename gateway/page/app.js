// Shows one market: polls the public routes once a second. Every decimal stays text, except for the depth bars.
"use strict";

const POLL_MS = 1000;
const TIMEOUT_MS = 4000;
const DEPTH = 15;
const TRADES = 30;

const $ = (id) => document.getElementById(id);
let markets = [];
let chosen = location.hash.slice(1);

async function get(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  const body = await response.json();
  if (!response.ok) {
    throw new Error(body.error ? body.error.code : `status ${response.status}`);
  }
  return body;
}

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

// A level's bar shows the quantity up to it, as a share of the deeper side. The widths are classes, because the
// page's security policy allows no inline styles.
function levels(body, rows, deepest, priceFirst) {
  let total = 0;
  body.replaceChildren(...rows.map(([price, quantity, orders]) => {
    total += Number(quantity);
    const share = deepest > 0 ? Math.round((total / deepest) * 20) * 5 : 0;
    const cells = [element("td", price, "price"), element("td", quantity), element("td", String(orders), "faint")];
    const made = row(priceFirst ? cells : cells.reverse());
    made.className = `depth-${share}`;
    return made;
  }));
  if (rows.length === 0) {
    const empty = element("td", "empty", "faint");
    empty.colSpan = 3;
    body.replaceChildren(row([empty]));
  }
}

function depth(rows) {
  return rows.reduce((sum, [, quantity]) => sum + Number(quantity), 0);
}

function showBook(book) {
  const deepest = Math.max(depth(book.bids), depth(book.asks));
  levels($("bids"), book.bids, deepest, false);
  levels($("asks"), book.asks, deepest, true);
  const both = book.bids.length > 0 && book.asks.length > 0;
  $("spread").textContent = both ? `best bid ${book.bids[0][0]}, best ask ${book.asks[0][0]}` : "";
}

function showTrades(trades) {
  $("no-trades").hidden = trades.length > 0;
  $("trades").replaceChildren(...trades.map((trade) => row([
    element("td", trade.timestamp.slice(11, 23), "faint"),
    element("td", trade.price, `price ${trade.taker_side}`),
    element("td", trade.quantity),
    element("td", trade.taker_side, trade.taker_side),
  ])));
  const last = trades[0];
  $("last-price").textContent = last ? last.price : "\u2013";
  $("last-price").className = last ? last.taker_side : "";
  $("last-side").textContent = last ? (last.taker_side === "buy" ? "\u25b2" : "\u25bc") : "";
  $("last-side").className = last ? last.taker_side : "";
}

function stateOf(market) {
  const name = market.state.replace("_", "-");
  if (!market.auction || !market.auction.indicative_price) return name;
  return `${name}: would trade ${market.auction.indicative_quantity} at ${market.auction.indicative_price}`;
}

function showRules(market) {
  const rules = [
    ["State", stateOf(market)], ["Base", market.base], ["Quote", market.quote], ["Tick", market.tick], ["Lot", market.lot],
    ["Minimum notional", market.min_notional], ["Maker fee", market.maker_fee], ["Taker fee", market.taker_fee],
  ];
  $("market-state").textContent = market.state === "open" ? "" : stateOf(market);
  $("rules").replaceChildren(...rules.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function showMarkets(listed) {
  const names = listed.map((market) => market.market);
  const areNew = names.join() !== markets.map((market) => market.market).join();
  markets = listed;
  if (areNew) {
    const select = $("market");
    select.disabled = names.length === 0;
    select.replaceChildren(...(names.length > 0 ? names : ["none"]).map((name) => element("option", name)));
    if (!names.includes(chosen)) chosen = names[0] ?? "";
    if (chosen) select.value = chosen;
  }
  if (chosen) showRules(markets[names.indexOf(chosen)]);
}

function tell(state, text, notice) {
  $("lamp").className = state;
  $("state").textContent = text;
  $("notice").hidden = !notice;
  $("notice").textContent = notice ?? "";
}

async function refresh() {
  const listed = await get("/v1/markets");
  showMarkets(listed.markets);
  $("sequence").textContent = listed.sequence;
  $("content").hidden = markets.length === 0;
  if (markets.length === 0) {
    tell("waiting", "connected", "No market yet. Start with tally up --demo to see one trading, or list a market " +
      "through POST /v1/admin/markets.");
    return;
  }
  const path = `/v1/markets/${encodeURIComponent(chosen)}`;
  const [book, tape] = await Promise.all([get(`${path}/book?depth=${DEPTH}`), get(`${path}/trades?limit=${TRADES}`)]);
  if (book.market !== chosen) return; // another market was chosen while this answer was under way
  showBook(book);
  showTrades(tape.trades);
  $("sequence").textContent = book.sequence;
  tell("live", "live", null);
}

async function poll() {
  try {
    await refresh();
  } catch (error) {
    const noLeader = error.message === "NO_LEADER";
    tell("down", noLeader ? "no leader" : "unreachable", noLeader
      ? "The replicas are choosing a leader. What you see is the last known state; it goes on by itself."
      : "The exchange cannot be reached. What you see is the last known state; this page tries again every second.");
  }
  setTimeout(poll, POLL_MS);
}

$("market").addEventListener("change", (event) => {
  chosen = event.target.value;
  history.replaceState(null, "", `#${chosen}`);
  showRules(markets.find((market) => market.market === chosen));
  refresh().catch(() => {});
});

poll();
