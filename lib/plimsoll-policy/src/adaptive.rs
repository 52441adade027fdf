//! Adaptive concurrency: how many requests an upstream can work on at once, found out from the traffic itself.
//!
//! A service that has more to do than it can does not say so: requests wait inside it, and every one of them takes
//! longer. By Little's law what is at work is `rate × time`; of `n` at work that each take `t`, where `t₀` is what they
//! take without waiting, `n × (1 − t₀/t)` are waiting (the estimate of TCP Vegas). The limit is moved so that few are.
//! What cannot be admitted then waits, or is shed, in front of the upstream, where it costs nothing and where the
//! important can pass the others.
//!
//! **What is measured** is *self time*: without what the request spent in dependencies and without what its caller's
//! bytes let it wait. And it is measured against what requests of its own route usually take, so that a change of
//! the mix is not taken for a change of the service. See [`Usual`].
//!
//! **Nothing is bound without evidence.** The limit begins at its maximum, follows twice the recent peak of what was at
//! work, and doubles again when it is in the way and nothing says that requests wait inside. Long polls, slow exports
//! and a restart under full load are not overload.
//!
//! **What tells a queue from a slow service** is the *tilt* `Δln t / Δln n` when the limit is moved: in a service that
//! queues, taking away a tenth of the requests takes a tenth of the time off (tilt 1); in one that does not, the time
//! stays as it is (tilt 0). It must be the limit that moves `n`. By itself `n` rises with `t` in either case, since
//! `n = rate × t`; and within a window those that were sent first have taken longest, whatever they found.
//!
//! **`t₀` is never measured by emptying the service.** Envoy's gradient controller cuts the limit to 3 every minute for
//! that, and serves errors meanwhile. Here it is learned while the limit is out of the way, and slowly, so that a queue
//! that creeps up is not taken for it. When requests seem to wait, the limit goes to three fifths of what is at work for
//! a few windows; only a tilt binds it. Once bound, it is tried a little lower and higher now and then, and what that
//! shows corrects `t₀`.
//!
//! **It knows when it cannot know.** Where those that measure are themselves out of time, an answer lies in its socket
//! for longer than the upstream took for it, and fewer at work would be quicker too. The shell says so
//! ([`Adaptive::set_blind`]), and for as long as that lasts nothing is learned, and the limit goes nowhere but up.
//!
//! **States:** *free*, the limit is out of the way; *bound*, requests waited inside and the limit holds them off; it
//! begins with the *probe*, from which it may go back to free.
//! **Failure:** none. With few samples it decides seldom, and with none it does not bind.

use core::time::Duration;

use plimsoll_slo::Instant;

use peaks::Peaks;
pub use usual::Usual;
use window::{Closed, Window};

mod peaks;
mod usual;
mod window;

/// Bounds of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveConfig {
    /// The lowest limit, 1 at least; 2 by default, so that a service that does one thing at a time finds the next
    /// one waiting.
    pub min: u32,
    /// The highest, and where it begins: the upstream's bulkhead.
    pub max: u32,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self { min: 2, max: 1024 }
    }
}

/// Whether the limit holds requests off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// It does not: nothing says that requests wait inside the upstream.
    Free,
    /// It does: they waited there, and now do so in front of it.
    Bound,
}

impl Pressure {
    /// The word for it in metrics and on the status page.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Bound => "bound",
        }
    }
}

/// One attempt that was answered well.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its self time.
    pub took: Duration,
    /// The logarithm of how many times the usual of its route that is: see [`Usual::ratio`].
    pub ratio: f64,
    /// How many were at work when it was sent, itself among them.
    pub busy: u32,
}

/// The limit of one upstream.
#[derive(Debug)]
pub struct Adaptive {
    config: AdaptiveConfig,
    limit: f64,
    pressure: Pressure,
    window: Window,
    /// What the last windows measured.
    now: Point,
    /// The usual ratio while nothing waits inside: `ln t₀` of the header, as a median like the ratio of a point.
    baseline: Option<f64>,
    /// Windows in which that was learned, up to [`CALM`].
    calm: u32,
    /// Windows in a row in which requests waited inside.
    strikes: u32,
    /// What was measured in them.
    struck: Mean,
    peaks: Peaks,
    /// Where the limit began to go down.
    mark: Option<(f64, Point)>,
    trial: Trial,
    /// The last decision moved the limit, so that what was measured before does not count for now.
    moved: bool,
    blind: bool,
}

/// What was at work, and how long it took: the logarithm of how many times the usual.
#[derive(Clone, Copy, Debug)]
struct Point {
    busy: f64,
    ratio: f64,
}

impl Point {
    /// How much of the change of what is at work shows in the time that it takes; `None` if hardly anything changed.
    fn tilt(self, other: Self) -> Option<f64> {
        let change = (other.busy / self.busy).ln();
        (change.abs() > 0.05).then(|| (other.ratio - self.ratio) / change)
    }
}

/// Trying a lower and a higher limit for a moment, to see whether requests wait inside after all.
#[derive(Clone, Copy, Debug)]
enum Trial {
    /// Not now; so many windows since.
    Rest(u32),
    /// To see whether it should bind at all.
    Probe(Settled),
    Lower(Settled),
    /// And what the lower one measured.
    Higher(Point, Settled),
}

/// Windows taken together: their geometric mean.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    windows: u32,
    busy: f64,
    ratio: f64,
}

impl Mean {
    fn add(&mut self, point: Point) {
        self.windows += 1;
        self.busy += point.busy.ln();
        self.ratio += point.ratio;
    }

    fn get(&self) -> Point {
        let windows = f64::from(self.windows.max(1));
        Point {
            busy: (self.busy / windows).exp(),
            ratio: self.ratio / windows,
        }
    }
}

/// Windows at a limit that was just set, without those in which more comes back than it allows, which was sent before,
/// and without the first of the others.
#[derive(Clone, Copy, Debug, Default)]
struct Settled {
    passed: u32,
    first_is_over: bool,
    mean: Mean,
}

/// Windows after which a limit is taken as settled whatever comes back: slots that come back from parking go over it.
const PASSED: u32 = 20;

impl Settled {
    /// Takes another window in. The mean of all, once they are so many.
    fn add(&mut self, point: Point, windows: u32, limit: u32) -> Option<Point> {
        self.passed += 1;
        if point.busy > f64::from(limit) * 1.1 + 1.0 && self.passed < PASSED {
            return None;
        }
        if self.first_is_over {
            self.mean.add(point);
        }
        self.first_is_over = true;
        (self.mean.windows >= windows).then(|| self.mean.get())
    }
}

/// How trials go.
#[derive(Debug)]
struct Pace {
    /// Windows between two trials, and how many each of its two limits takes.
    rest: u32,
    windows: u32,
    /// How far it goes down and up.
    lower: f64,
    higher: f64,
    /// The tilt between the two where all of the upstream is at work and next to nobody waits: of the way from the lower
    /// limit to the higher, the part in which requests wait.
    aim: f64,
    /// How much of what was found goes into `t₀`.
    gain: f64,
}

/// When `t₀` is known and may have moved: what a trial costs must not show.
const SURE: Pace = Pace {
    rest: 30,
    windows: 4,
    lower: 0.85,
    higher: 1.15,
    aim: 0.95,
    gain: 0.1,
};

/// When the upstream was never seen with the limit out of the way: after a start in the middle of overload.
const UNSURE: Pace = Pace {
    rest: 4,
    windows: 3,
    lower: 0.75,
    higher: 1.25,
    aim: 0.5,
    gain: 0.5,
};

/// Windows in which `t₀` was learned until it is trusted, and those of the beginning, when anything is better than
/// nothing.
const CALM: u32 = 20;
const BEGINNING: u32 = 5;
/// Windows in a row in which requests wait inside before the limit binds, and the same if it is in the way already: a
/// burst passes, and so does a pause of the garbage collector.
const STRIKES: [u32; 2] = [4, 2];
/// The lowest limit that is set while the peak of what is at work is lower still.
const FLOOR: f64 = 20.0;
/// How far the limit goes down to see whether it should bind, and for how many windows.
const PROBE: f64 = 0.6;
const PROBING: u32 = 3;
/// Below this tilt nothing waits inside.
const FLAT: f64 = 0.4;

impl Adaptive {
    /// A limit that is out of the way.
    pub fn new(config: AdaptiveConfig, now: Instant) -> Self {
        Self {
            config,
            limit: f64::from(config.max),
            pressure: Pressure::Free,
            window: Window::new(now),
            now: Point {
                busy: 1.0,
                ratio: 0.0,
            },
            baseline: None,
            calm: 0,
            strikes: 0,
            struck: Mean::default(),
            peaks: Peaks::new(config.max, now),
            mark: None,
            trial: Trial::Rest(0),
            moved: true,
            blind: false,
        }
    }

    /// Whether what is measured says more about those that measure than about the upstream: their own processors are
    /// full. A probe that was under way has shown nothing. Returns the new limit if there is one.
    pub fn set_blind(&mut self, blind: bool) -> Option<u32> {
        let before = self.limit();
        self.blind = blind;
        if blind && self.is_probing() {
            self.trial = Trial::Rest(0);
            self.pressure = Pressure::Free;
            if let Some((limit, _)) = self.mark.take() {
                self.limit = self.clamped(limit);
            }
        }
        let after = self.limit();
        (after != before).then_some(after)
    }

    /// Goes by other bounds from now on, and keeps what it has learned. A limit that was out of the way stays so.
    pub fn set_config(&mut self, config: AdaptiveConfig) {
        if self.limit >= f64::from(self.config.max) {
            self.limit = f64::from(config.max);
        }
        self.config = config;
        self.limit = self.clamped(self.limit);
    }

    /// How many may be at work.
    pub fn limit(&self) -> u32 {
        let pace = self.pace();
        let tried = match self.trial {
            Trial::Rest(_) => self.limit,
            Trial::Probe(_) => self.limit * PROBE,
            Trial::Lower(_) => self.limit * pace.lower,
            Trial::Higher(..) => self.limit * pace.higher,
        };
        self.clamped(tried).round() as u32
    }

    /// Whether it holds requests off.
    pub const fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Whether what is answered now tells what requests usually take.
    pub fn is_learning(&self) -> bool {
        self.pressure == Pressure::Free && self.strikes == 0 && !self.window.full && !self.blind
    }

    /// How many of those at work wait inside the upstream, by the last windows; 0 while `t₀` is not known.
    pub fn waiting_inside(&self) -> f64 {
        let baseline = self.baseline.unwrap_or(self.now.ratio);
        self.now.busy * (1.0 - (baseline - self.now.ratio).exp()).max(0.0)
    }

    /// An attempt was answered well. Returns the new limit if there is one.
    pub fn record(&mut self, now: Instant, sample: Sample) -> Option<u32> {
        let Sample { took, ratio, busy } = sample;
        self.window.record(took, ratio, busy);
        self.peaks.see(now, busy);
        self.close(now)
    }

    /// Somebody had to wait for a slot, or was shed.
    pub fn note_full(&mut self) {
        self.window.full = true;
    }

    /// Time passes. Called a few times a second, for upstreams that do not answer. Returns the new limit if there is
    /// one.
    pub fn tick(&mut self, now: Instant) -> Option<u32> {
        self.close(now)
    }

    fn close(&mut self, now: Instant) -> Option<u32> {
        let before = self.limit();
        if let Some(closed) = self.window.close(now) {
            self.decide(now, &closed);
            self.moved = self.limit() != before;
        } else if self.window.is_silent(now) {
            // It is in the way, and there is nothing to say that it should be.
            if self.pressure == Pressure::Free && self.window.full {
                self.limit = self.clamped(self.limit * 2.0);
            }
            self.window = Window::new(now);
        }
        let after = self.limit();
        (after != before).then_some(after)
    }

    fn decide(&mut self, now: Instant, closed: &Closed) {
        self.take_in(closed);
        let point = Point {
            busy: closed.busy,
            ratio: closed.ratio,
        };
        let (waiting, band) = (self.waiting_inside(), Band::of(closed.busy));
        let queued = !self.blind && waiting > band.most;
        if queued {
            self.strikes += 1;
            self.struck.add(point);
        } else {
            (self.strikes, self.struck) = (0, Mean::default());
        }
        let bound = self.pressure == Pressure::Bound;
        if bound && !self.blind && (closed.full || self.is_probing()) && self.is_trying(point, waiting, band)
        {
            return;
        }
        if queued && bound {
            self.descend(point, band);
        } else if queued && self.strikes >= STRIKES[usize::from(closed.full)] {
            self.probe();
        } else if !closed.full && !queued {
            if !self.blind {
                self.learn();
            }
            self.relax(now);
        } else if closed.full && waiting < band.least {
            self.rise(now);
        } else if !queued {
            self.mark = None;
        }
    }

    fn take_in(&mut self, closed: &Closed) {
        let ratio = if self.moved {
            closed.ratio
        } else {
            f64::midpoint(self.now.ratio, closed.ratio)
        };
        self.now = Point {
            busy: closed.busy,
            ratio,
        };
        self.baseline.get_or_insert(closed.ratio);
    }

    /// Requests wait inside, or it looks like it. No more come in than are at work, and fewer for a moment: if that
    /// makes none of them quicker, it is the service that has become slower, and nobody is to be shed for it.
    fn probe(&mut self) {
        let point = self.struck.get();
        self.pressure = Pressure::Bound;
        self.mark = Some((self.limit, point));
        self.limit = self.clamped(self.limit.min(point.busy));
        self.trial = Trial::Probe(Settled::default());
    }

    const fn is_probing(&self) -> bool {
        matches!(self.trial, Trial::Probe(_))
    }

    /// What the probe has found.
    fn found(&mut self, low: Point, band: Band) {
        self.trial = Trial::Rest(0);
        let Some((limit, mark)) = self.mark.take() else {
            return;
        };
        if low.busy < 0.9 * mark.busy && mark.tilt(low).is_some_and(|tilt| tilt >= FLAT) {
            self.now = low;
            self.descend(low, band);
        } else {
            self.pressure = Pressure::Free;
            self.limit = self.clamped(limit);
            self.settle_for(f64::midpoint(mark.ratio, low.ratio));
        }
    }

    /// That is what requests take now.
    fn settle_for(&mut self, ratio: f64) {
        self.baseline = Some(ratio);
        self.strikes = 0;
        self.mark = None;
    }

    /// Nothing is in the way: what is measured is what requests take.
    fn learn(&mut self) {
        let ratio = self.now.ratio;
        let baseline = self.baseline.unwrap_or(ratio);
        // Slowly: a queue that grows as slowly is not to be taken for what requests take. A service that is twice as
        // quick has no queue.
        let quickly = self.calm < BEGINNING || ratio < baseline - 0.7;
        let weight = if quickly { 0.05 } else { 0.002 };
        self.baseline = Some(baseline + weight * (ratio - baseline));
        self.calm = (self.calm + 1).min(CALM);
    }

    /// Lets the limit follow twice what was at work at most in the last minute.
    fn relax(&mut self, now: Instant) {
        let room = self.room(now);
        self.limit = (self.limit * 1.1 + 1.0).min(room);
        if self.limit >= room {
            self.pressure = Pressure::Free;
        }
        self.mark = None;
        self.trial = Trial::Rest(0);
    }

    fn room(&mut self, now: Instant) -> f64 {
        let peak = f64::from(self.peaks.most(now));
        self.clamped((2.0 * peak).max(FLOOR))
    }

    /// The limit is in the way, and nobody waits inside.
    fn rise(&mut self, now: Instant) {
        let step = if self.pressure == Pressure::Free {
            self.limit
        } else {
            (self.limit * 0.1).max(1.0)
        };
        self.limit = (self.limit + step).min(self.room(now).max(self.limit));
        self.mark = None;
    }

    /// Requests wait inside: at most as many as the band allows may be at work beyond those that do not wait.
    fn descend(&mut self, point: Point, band: Band) {
        let (limit, mark) = *self.mark.get_or_insert((self.limit, point));
        if point.busy < mark.busy * 0.5 {
            if mark.tilt(point).is_some_and(|tilt| tilt < FLAT) {
                // It went down in vain: it takes as long with fewer.
                self.limit = self.clamped(limit);
                return self.settle_for(point.ratio);
            }
            self.mark = Some((self.limit, point));
        }
        self.pressure = Pressure::Bound;
        let target = self.now.busy - self.waiting_inside() + band.middle();
        self.limit = self.clamped(target.min(self.limit));
    }

    /// Now and then the limit is put to the test, whatever it does otherwise. Whether it is being just now.
    fn is_trying(&mut self, point: Point, waiting: f64, band: Band) -> bool {
        let Pace { rest, windows, .. } = *self.pace();
        let limit = self.limit();
        match &mut self.trial {
            Trial::Rest(since) if *since < rest => *since += 1,
            Trial::Rest(_) => self.trial = Trial::Lower(Settled::default()),
            Trial::Probe(mean) => {
                if let Some(low) = mean.add(point, PROBING, limit) {
                    self.found(low, band);
                    return true;
                }
            }
            _ if waiting > 3.0 * band.most => self.trial = Trial::Rest(0),
            Trial::Lower(mean) => {
                if let Some(low) = mean.add(point, windows, limit) {
                    self.trial = Trial::Higher(low, Settled::default());
                }
            }
            Trial::Higher(low, mean) => {
                if let Some(high) = mean.add(point, windows, limit) {
                    let tilt = low.tilt(high);
                    self.trial = Trial::Rest(0);
                    self.correct(tilt);
                }
            }
        }
        !matches!(self.trial, Trial::Rest(_))
    }

    fn correct(&mut self, tilt: Option<f64>) {
        let Some(tilt) = tilt else { return };
        let pace = self.pace();
        let correction = pace.gain * (pace.aim - tilt.clamp(-0.5, 1.5));
        self.baseline = self.baseline.map(|baseline| baseline + correction);
        if tilt < 0.8 {
            self.calm = (self.calm + CALM / 4).min(CALM);
        }
        self.mark = None;
    }

    const fn pace(&self) -> &'static Pace {
        if self.calm >= CALM { &SURE } else { &UNSURE }
    }

    fn clamped(&self, limit: f64) -> f64 {
        let max = self.config.max.max(1);
        limit.clamp(f64::from(self.config.min.clamp(1, max)), f64::from(max))
    }
}

/// How many may wait inside: enough that the upstream never has to wait for the next one, and no more.
#[derive(Clone, Copy, Debug)]
struct Band {
    least: f64,
    most: f64,
}

impl Band {
    fn of(busy: f64) -> Self {
        let scale = busy.max(10.0).log10();
        Self {
            least: 1.5 * scale,
            most: 4.0 * scale,
        }
    }

    fn middle(self) -> f64 {
        f64::midpoint(self.least, self.most)
    }
}
