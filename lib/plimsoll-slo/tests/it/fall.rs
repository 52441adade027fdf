//! A figure that falls is found soon, one that goes up and down as it does every week is not, and what is not known is not
//! judged.

use plimsoll_slo::{Counts, FALL_LOOKS_BACK, Falling, Measure};

use crate::dice::Dice;

const DAY: u64 = 1_440;
const RATE: Measure = Measure::Rate { fall: 0.2 };
const SHARE: Measure = Measure::Share { fall: 0.05 };

fn ago(minute: u64, days: u64) -> Option<u64> {
    minute.checked_sub(days * DAY)
}

/// How a shop sells: little at night and on Sundays, and no two days or hours are quite alike.
struct Shop {
    dice: Dice,
    /// Orders in a minute, on average.
    rate: f64,
    /// How much days differ, and minutes of one hour: standard deviations of the logarithm.
    days: f64,
    minutes: f64,
    succeeds: f64,
    level: f64,
    noise: f64,
}

impl Shop {
    fn new(seed: u64, rate: f64) -> Self {
        Self {
            dice: Dice::new(seed),
            rate,
            days: 0.05,
            minutes: 0.1,
            succeeds: 0.97,
            level: 0.0,
            noise: 0.0,
        }
    }

    /// About normal: the sum of twelve.
    fn deviation(&mut self) -> f64 {
        (0..12).map(|_| self.dice.share()).sum::<f64>() - 6.0
    }

    /// What is usual in a minute.
    fn usual(&self, minute: u64) -> f64 {
        let hour = minute as f64 / 60.0 % 24.0;
        let of_day = 1.0 + 0.9 * ((hour - 15.0) / 24.0 * core::f64::consts::TAU).cos();
        let of_week = if minute / DAY % 7 == 6 { 0.4 } else { 1.0 };
        self.rate * of_day * of_week
    }

    /// One minute, in which so much of the usual comes, and of that so much succeeds.
    fn minute(&mut self, minute: u64, comes: f64, succeeds: f64) -> (u64, Counts, u8) {
        if minute.is_multiple_of(DAY) {
            self.level = self.days * self.deviation();
        }
        // Half of what differs is gone after a quarter of an hour.
        let (keeps, sigma) = (0.955_f64, self.minutes);
        self.noise = keeps * self.noise + (1.0 - keeps * keeps).sqrt() * sigma * self.deviation();
        let mean = self.usual(minute) * comes * (self.level + self.noise).exp();
        let total = self.dice.poisson(mean);
        let bad = (0..total)
            .filter(|_| self.dice.share() > self.succeeds * succeeds)
            .count() as u64;
        let good = total - bad;
        (minute, Counts { good, bad }, 60)
    }

    fn minutes(&mut self, from: u64, count: u64, comes: f64, succeeds: f64) -> Vec<(u64, Counts, u8)> {
        (from..from + count)
            .map(|minute| self.minute(minute, comes, succeeds))
            .collect()
    }
}

/// What is said at the beginning of a minute.
fn find(all: &[(u64, Counts, u8)], now: u64, measure: Measure) -> Falling {
    let from = now.saturating_sub(FALL_LOOKS_BACK * DAY);
    let known = all.iter().filter(|(minute, ..)| (from..now).contains(minute));
    Falling::find(known.copied(), now, ago, measure, 0.01)
}

/// Minutes from the beginning of a fall until it is found.
fn delay(shop: &mut Shop, hour: u64, (comes, succeeds): (f64, f64), measure: Measure) -> u64 {
    let began = 16 * DAY + 60 * hour;
    let mut all = shop.minutes(0, began, 1.0, 1.0);
    all.extend(shop.minutes(began, 400, comes, succeeds));
    let found = (began + 1..began + 400).find_map(|now| {
        let falling = find(&all, now, measure);
        falling.suffices().then_some((now - began, falling.began))
    });
    let (delay, since) = found.expect("it is found");
    assert!(
        since.is_some_and(|since| since.abs_diff(began) <= 20),
        "{since:?} for {began}"
    );
    delay
}

#[test]
fn what_falls_is_found() {
    for (rate, hour, falls_to, measure, most) in [
        (100.0, 15, (0.0, 1.0), RATE, 2),
        (100.0, 15, (0.3, 1.0), RATE, 30),
        (100.0, 3, (0.0, 1.0), RATE, 6),
        (2.0, 15, (0.0, 1.0), RATE, 15),
        (0.3, 15, (0.0, 1.0), RATE, 120),
        (100.0, 15, (1.0, 0.8), SHARE, 4),
        (2.0, 15, (1.0, 0.3), SHARE, 15),
    ] {
        let mut shop = Shop::new(17, rate);
        let took = delay(&mut shop, hour, falls_to, measure);
        assert!(
            took <= most,
            "{rate} a minute at {hour}, {falls_to:?}: found after {took} minutes"
        );
    }
}

#[test]
fn what_goes_up_and_down_as_it_does_every_week_is_no_fall() {
    for (seed, rate, days, minutes) in [(1, 0.3, 0.0, 0.0), (2, 5.0, 0.05, 0.1), (3, 100.0, 0.1, 0.2)] {
        let mut shop = Shop::new(seed, rate);
        (shop.days, shop.minutes) = (days, minutes);
        let all = shop.minutes(0, 24 * DAY, 1.0, 1.0);
        for now in (7 * DAY..24 * DAY).step_by(290) {
            for measure in [RATE, SHARE] {
                let falling = find(&all, now, measure);
                assert!(!falling.suffices(), "{rate} a minute, at {now}: {falling:?}");
            }
        }
    }
}

/// A figure without chance: so many good ones in each minute.
fn even(from: u64, to: u64, good: u64) -> impl Iterator<Item = (u64, Counts, u8)> {
    (from..to).map(move |minute| (minute, Counts { good, bad: 0 }, 60))
}

#[test]
fn what_is_not_known_is_not_judged() {
    let began: Vec<_> = even(DAY, 7 * DAY, 50)
        .chain(even(7 * DAY, 7 * DAY + 60, 0))
        .collect();
    let new = find(&began, 7 * DAY + 60, RATE);
    assert_eq!((new.usual, new.allowed, new.suffices()), (None, None, false));
    assert_eq!((new.present, new.known_from), (Some(0.0), Some(8 * DAY)));
    assert_eq!(find(&[], 7 * DAY, RATE), Falling::default());

    // Nobody looked for an hour. That nothing is known of it is no reason to call anybody.
    let away: Vec<_> = even(0, 15 * DAY, 50).collect();
    let falling = find(&away, 15 * DAY + 60, RATE);
    assert_eq!((falling.present, falling.suffices()), (None, false));
    // Of a minute that was measured for a second one event is as many as are to be expected.
    let in_part = (15 * DAY..15 * DAY + 60).map(|minute| (minute, Counts { good: 1, bad: 0 }, 1));
    let all: Vec<_> = away.into_iter().chain(in_part).collect();
    let falling = find(&all, 15 * DAY + 60, RATE);
    assert_eq!((falling.present, falling.suffices()), (Some(60.0), false));
}

#[test]
fn an_outage_of_last_week_does_not_become_usual() {
    let mut all: Vec<_> = even(0, 22 * DAY, 50).collect();
    for (minute, counts, _) in &mut all {
        if (15 * DAY..15 * DAY + 300).contains(minute) {
            counts.good = 0;
        }
    }
    // At the same time of the next week, and what stands is over.
    let at = 22 * DAY + 100;
    all.extend(even(22 * DAY, at, 50));
    assert!(!find(&all, at, RATE).suffices());
    all.extend(even(at, at + 10, 0));
    let falling = find(&all, at + 10, RATE);
    assert!(falling.suffices() && falling.began == Some(at), "{falling:?}");
    all.extend(even(at + 10, at + 40, 50));
    let over = find(&all, at + 40, RATE);
    assert_eq!((over.suffices(), over.began), (false, None));
}

#[test]
fn the_same_time_of_a_day_is_what_clocks_show() {
    // Open from eight to eight, by a clock that was put forward by an hour in the night after the 20th day.
    let open = |minute: u64| {
        let clock = if minute < 20 * DAY { minute } else { minute + 60 };
        (480..1_200).contains(&(clock % DAY))
    };
    let all: Vec<_> = (0..21 * DAY)
        .map(|minute| {
            let good = if open(minute) { 100 } else { 1 };
            (minute, Counts { good, bad: 0 }, 60)
        })
        .collect();
    // At a quarter past eight in the evening by the clock, where it was still open by that of the week before.
    let now = 20 * DAY + 1_155;
    let by = |ago: &dyn Fn(u64, u64) -> Option<u64>| {
        let known = all.iter().filter(|(minute, ..)| *minute < now);
        Falling::find(known.copied(), now, ago, RATE, 0.01).suffices()
    };
    let by_clock = |minute: u64, days: u64| {
        let same = minute.checked_sub(days * DAY)?;
        Some(if same < 20 * DAY && minute >= 20 * DAY {
            same + 60
        } else {
            same
        })
    };
    assert!(by(&ago), "the sun says that it is early");
    assert!(!by(&by_clock));
}
