// Pages are whole without this. With it, what is marked `data-live` is taken anew from the server every other second,
// for as long as the judge is heard, and charts are drawn. Nothing is asked of any other place.
"use strict";

const EVERY_MS = 2000;
const SILENT_MS = 5000;
const STALE_MS = 8000;
const AGAIN_MS = 30000;
const CHARTS_EVERY_MS = 30000;

const live = document.getElementById("live");
// What is here now is of now.
let taken = Date.now();
let heard = 0;
let stream;
let isTaking = false;

function say(text) {
  if (!live) return;
  live.hidden = text === "";
  if (live.textContent !== text) live.textContent = text;
}

// Whoever writes into a form keeps it: its part stays as it is until the focus has left it.
async function takeAnew() {
  if (isTaking || document.hidden) return;
  isTaking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [ours, theirs] = [document, page].map((one) => [...one.querySelectorAll("[data-live]")]);
    ours.forEach((part, place) => {
      const other = theirs[place];
      if (!other || part.contains(document.activeElement) || part.innerHTML === other.innerHTML) return;
      const scrolled = [...part.querySelectorAll(".wide")].map((wide) => wide.scrollLeft);
      part.replaceChildren(...other.childNodes);
      part.querySelectorAll(".wide").forEach((wide, at) => { wide.scrollLeft = scrolled[at] || 0; });
    });
    document.title = page.title;
    taken = Date.now();
  } catch {
    // Told below, once it has lasted.
  } finally {
    isTaking = false;
  }
}

// One that is refused, since too many listen, is asked for again later; until then the page is taken anew less often.
function follow() {
  stream = new EventSource("/api/v1/stream?objective=");
  stream.addEventListener("judged", () => { heard = Date.now(); });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
  });
}

const time = (at) => new Date(at).toISOString().slice(11, 19);

function watch() {
  if (document.hidden) {
    return;
  }
  const now = Date.now();
  if (now - taken >= (now - heard < SILENT_MS ? EVERY_MS : SILENT_MS)) takeAnew();
  if (now - taken > STALE_MS) {
    say(`■ Not live: what is shown is from ${time(taken)} UTC.`);
  } else if (heard && stream.readyState === EventSource.OPEN && now - heard > STALE_MS) {
    say(`■ The judge has not been heard since ${time(heard)} UTC.`);
  } else {
    say("");
  }
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// One place for what all charts share.
function options(plot, more) {
  const ink = { stroke: color("faint"), grid: { stroke: color("line") }, ticks: { stroke: color("line") } };
  const [x, y] = more.axes || [{}, {}];
  return {
    width: plot.clientWidth, height: 220, legend: { live: false }, cursor: { drag: { x: false, y: false } }, ...more,
    // As everywhere on these pages: UTC, by the clock of 24 hours.
    tzDate: (at) => uPlot.tzDate(new Date(1000 * at), "Etc/UTC"),
    axes: [{ ...ink, space: 90, values: (_, ticks, __, ___, step) => ticks.map((at) => hour(at, step)), ...x }, { ...ink, size: 64, ...y }],
  };
}

const percent = (share) => (share === null || share === undefined ? "-" : `${(100 * share).toFixed(1)} %`);
const clock = (at) => new Date(1000 * at).toISOString().slice(0, 16).replace("T", " ");

const hour = (at, step) => {
  const [day, time] = new Date(1000 * at).toISOString().split("T");
  return step >= 86400 ? day.slice(5) : time.slice(0, step < 60 ? 8 : 5);
};

// Changes, where they stand on the axis of time.
const marks = (changes) => (chart) => {
  const [context, bottom] = [chart.ctx, chart.bbox.top + chart.bbox.height];
  context.save();
  context.fillStyle = color("ink");
  changes.forEach(({ at_s }) => {
    if (at_s < chart.scales.x.min || at_s > chart.scales.x.max) return;
    const x = chart.valToPos(at_s, "x", true);
    context.beginPath();
    context.moveTo(x, bottom - 12);
    context.lineTo(x - 6, bottom);
    context.lineTo(x + 6, bottom);
    context.fill();
  });
  context.restore();
};

// What changed near a point, if anything did.
const changedNear = (changes, at, span) => {
  const near = changes.filter((one) => Math.abs(one.at_s - at) <= span).map((one) => `${clock(one.at_s)}: ${one.what}`);
  return near.length ? `. Changed: ${near.slice(0, 3).join("; ")}` : "";
};

// Targets from two nines to five, evenly by what they allow.
const targetOf = (step) => 1 - 10 ** -(1 + step / 25);

const charts = {
  // A slider: what it stands at is asked of the server, once the hand rests.
  whatIf(plot, data, point, source) {
    if (plot.querySelector("input")) return;
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: Math.round(25 * (-Math.log10(1 - data.target) - 1)) });
    slider.setAttribute("aria-label", "another target");
    // What is here is a tool, and no picture.
    plot.removeAttribute("role");
    plot.append(slider);
    const shown = (target) => `${(100 * target).toPrecision(5)} %`;
    const tell = (found) => {
      const left = found.budget_left === null ? "nothing is known" : `${percent(found.budget_left)} of the budget would be left`;
      const times = (count, what) => `${count} ${count === 1 ? what : `${what}s`}`;
      point.textContent = `${shown(found.target)}: ${left}, ${found.bad} bad where ${found.allowed.toFixed(1)} may be; at most ${times(found.pages_at_most, "page")} and ${times(found.tickets_at_most, "ticket")} in ${found.minutes < 180 ? `${found.minutes} minutes` : `${Math.round(found.minutes / 60)} hours`} that were measured.`;
    };
    let later;
    slider.addEventListener("input", () => {
      const target = targetOf(Number(slider.value));
      slider.setAttribute("aria-valuetext", shown(target));
      clearTimeout(later);
      later = setTimeout(async () => {
        const answer = await fetch(`${source.split("?")[0]}?target=${target.toFixed(6)}`, { headers: { Accept: "application/json" } });
        if (answer.ok) tell(await answer.json());
      }, 250);
    });
    tell(data);
  },

  budget(plot, data, point) {
    const rows = [data.at_s, data.budget_left];
    // Of a window of which little is known a line is a dot.
    const known = data.budget_left.filter((left) => left !== null).length;
    const points = { show: known < 30, size: 6, fill: color("fine") };
    const series = [{}, { label: "left", stroke: color("fine"), width: 2, fill: `${color("fine")}22`, points }];
    if (data.budget_left_as_counted) {
      rows.push(data.budget_left_as_counted);
      series.push({ label: "left as counted, without corrections", stroke: color("faint"), dash: [4, 4], width: 1 });
    }
    // What is overspent by more is drawn at the edge.
    const lowest = Math.min(0, ...rows.slice(1).flat().filter((left) => left !== null));
    const below = Math.max(-1, lowest);
    const drawn = rows.map((row, place) => (place ? row.map((left) => (left === null ? null : Math.max(left, below))) : row));
    return new uPlot(options(plot, {
      series, scales: { y: { range: [below, 1] } },
      axes: [{}, { values: (_, ticks) => ticks.map((tick) => `${Math.round(100 * tick)} %`) }],
      hooks: { draw: [marks(data.changes)], setCursor: [(chart) => {
        const at = chart.cursor.idx;
        if (at === null || at === undefined) return;
        point.textContent = `${clock(rows[0][at])} UTC: ${percent(rows[1][at])} left${changedNear(data.changes, rows[0][at], data.step_s)}`;
      }] },
    }), drawn, plot);
  },

  burns(plot, data) {
    const name = (burn) => `${burn.severity} ${burn.long_s / 60}/${burn.short_s / 60} min`;
    const of = (window) => data.burns.map((burn) => (burn[window] === null ? null : burn[window] / burn.factor));
    const at = data.burns.map((_, place) => place);
    const rows = [at, of("long"), of("short"), at.map(() => 1)];
    // What burns faster is above the edge.
    const top = Math.min(3, Math.max(1.2, ...rows.slice(1).flat().filter((share) => share !== null)));
    const bars = (align) => uPlot.paths.bars({ size: [0.3, 60], align });
    return new uPlot(options(plot, {
      scales: { x: { time: false, range: [-0.5, at.length - 0.5] }, y: { range: [0, top] } },
      axes: [{ splits: () => at, values: () => data.burns.map(name), rotate: plot.clientWidth < 600 ? -20 : 0 }, {}],
      series: [
        {},
        { label: "long window", fill: color("leaving"), stroke: color("leaving"), paths: bars(-1), points: { show: false } },
        { label: "short window", fill: color("faint"), stroke: color("faint"), paths: bars(1), points: { show: false } },
        { label: "calls from here", stroke: color("attention"), width: 2, dash: [6, 3], points: { show: false } },
      ],
    }), rows, plot);
  },

  latency(plot, data, point) {
    const bounds = data.bounds_ms;
    const most = Math.max(1, ...data.counts.flat());
    const known = data.examples.filter((one) => one.latency_ms > 0).sort((a, b) => a.at - b.at);
    const first = data.at_s[0] || 0;
    const last = (data.at_s[data.at_s.length - 1] || 0) + 60;
    const shown = known.filter((one) => one.at / 1000 >= first);
    const rows = [[first, ...shown.map((one) => one.at / 1000), last], [null, ...shown.map((one) => one.latency_ms), null]];
    const heat = (chart) => {
      const context = chart.ctx;
      context.save();
      context.fillStyle = color("leaving");
      data.counts.forEach((counts, column) => {
        const left = chart.valToPos(data.at_s[column], "x", true);
        const right = chart.valToPos(data.at_s[column] + 60, "x", true);
        counts.forEach((count, row) => {
          if (count === 0) return;
          const bottom = chart.valToPos(row === 0 ? bounds[0] / Math.SQRT2 : bounds[row - 1], "y", true);
          const top = chart.valToPos(row < bounds.length ? bounds[row] : Math.SQRT2 * bounds[row - 1], "y", true);
          // Few are seen beside many.
          context.globalAlpha = 0.15 + 0.85 * (Math.log1p(count) / Math.log1p(most));
          context.fillRect(left, top, Math.max(1, right - left - 1), Math.max(1, bottom - top - 1));
        });
      });
      context.globalAlpha = 1;
      if (data.limit_ms) {
        const limit = chart.valToPos(data.limit_ms, "y", true);
        context.strokeStyle = color("attention");
        context.setLineDash([6, 3]);
        context.beginPath();
        context.moveTo(chart.bbox.left, limit);
        context.lineTo(chart.bbox.left + chart.bbox.width, limit);
        context.stroke();
      }
      context.restore();
    };
    const inHand = data.counts.map((counts) => counts.map((count, row) => (count > 0 ? row : -1)).filter((row) => row >= 0)).flat();
    const low = bounds[Math.max(0, Math.min(...inHand, bounds.length - 1) - 2)];
    const high = bounds[Math.min(bounds.length - 1, Math.max(...inHand, 12) + 2)];
    const text = (ms) => (ms >= 1000 ? `${+(ms / 1000).toPrecision(2)} s` : `${+ms.toPrecision(2)} ms`);
    return new uPlot(options(plot, {
      scales: { x: { range: [first, Math.max(last, first + 600)] }, y: { distr: 3, range: [low, high] } },
      axes: [{}, { values: (_, ticks) => ticks.map((tick) => (tick ? text(tick) : "")) }],
      series: [{}, {
        label: "failed", paths: () => null, stroke: color("attention"),
        points: { show: true, size: 8, fill: color("attention"), stroke: color("attention") },
      }],
      hooks: {
        drawClear: [heat],
        draw: [marks(data.changes)],
        setCursor: [(chart) => {
          const one = shown[chart.cursor.idx - 1];
          if (one) point.textContent = `${clock(one.at / 1000)} UTC: ${one.reason} after ${text(one.latency_ms)}, trace ${one.trace_id}, request ${one.request_id}`;
        }],
      },
    }), rows, plot);
  },
};

async function draw(figure) {
  const [plot, point] = [figure.querySelector(".plot"), figure.querySelector(".point")];
  try {
    const answer = await fetch(figure.dataset.source, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const data = await answer.json();
    figure.hidden = false;
    const chart = figure.dataset.chart;
    // A tool stays in the hand that holds it.
    if (chart !== "whatIf") plot.replaceChildren();
    charts[chart](plot, data, point, figure.dataset.source);
  } catch {
    // The tables say the same, and what is shown stays with its time.
  }
}

const figures = [...document.querySelectorAll("figure[data-chart]")];
const drawAll = () => { if (!document.hidden) figures.forEach(draw); };
if (document.querySelector("[data-live]")) {
  follow();
  setInterval(watch, 1000);
}
if (figures.length) {
  drawAll();
  setInterval(drawAll, CHARTS_EVERY_MS);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let later;
  addEventListener("resize", () => { clearTimeout(later); later = setTimeout(drawAll, 200); });
}
