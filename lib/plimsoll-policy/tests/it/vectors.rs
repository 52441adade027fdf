//! The vectors are what the policies decide, and what their generators make: neither can change unnoticed.
//!
//! Each generator draws its cases from a seed of its own. `PLIMSOLL_BLESS=1 cargo test -p plimsoll-policy vectors`
//! writes the files anew; then read the difference, for it is what every user of the policies will see.

use plimsoll_policy::{Dice, SeededDice};

mod breaker;
mod bulkhead;
mod deadline;
mod fault;
#[path = "vectors/format.rs"]
mod format;
mod rate;
mod retry;
mod shed;
mod tries;

use format::{Case, cases, check, without_dice};

/// Dice that always fall alike.
struct Flat(u64);

impl Dice for Flat {
    fn roll(&mut self) -> u64 {
        self.0
    }
}

/// What a generator needs besides dice.
trait Draw: Dice {
    /// One of these.
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A number in this range, ends included.
    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

impl<D: Dice> Draw for D {}

/// A policy as the vectors see it: how its cases are drawn, and how it decides them.
struct Vectors {
    name: &'static str,
    text: &'static str,
    about: &'static str,
    cases: usize,
    /// One case: its configuration without seed, and its steps, drawn.
    draw: fn(&mut SeededDice) -> (String, Vec<String>),
    /// Its answers, with these dice.
    play: fn(&Case<'_>, &mut dyn FnMut() -> u64) -> Vec<String>,
}

/// Dice behind a closure, so that one list can hold all players.
struct Rolled<'a>(&'a mut dyn FnMut() -> u64);

impl Dice for Rolled<'_> {
    fn roll(&mut self) -> u64 {
        (self.0)()
    }
}

impl Vectors {
    fn answers(&self, case: &Case<'_>, mut dice: impl Dice) -> Vec<String> {
        (self.play)(case, &mut || dice.roll())
    }

    /// The whole text, drawn and decided anew.
    fn make(&self) -> String {
        let mut text = format!(
            "# {}\n# Made by tests/it/vectors/; format.rs says how to read it.\n",
            self.about
        );
        let mut dice = SeededDice::new(
            self.name
                .bytes()
                .fold(0, |seed, byte| seed * 31 + u64::from(byte)),
        );
        for _ in 0..self.cases {
            let (config, steps) = (self.draw)(&mut dice);
            let seed = dice.below(10_000);
            let bare = format!("case seed={seed} {config}\n  {}\n", steps.join("\n  "));
            let case = &cases(&bare)[0];
            let answers = self.answers(case, SeededDice::new(seed));
            let alike = [0, u64::MAX].into_iter().all(|roll| {
                let others = self.answers(case, Flat(roll));
                answers
                    .iter()
                    .map(|a| without_dice(a))
                    .eq(others.iter().map(|a| without_dice(a)))
            });
            let any = if alike { "dice=any " } else { "" };
            text.push_str(&["case seed=", &seed.to_string(), " ", any, &config, "\n"].concat());
            for (step, answer) in steps.iter().zip(&answers) {
                text.push_str(&["  ", step, " => ", answer, "\n"].concat());
            }
        }
        text
    }

    fn hold(&self) {
        let made = self.make();
        if blessed() {
            let path = format!(
                "{}/testdata/vectors/{}.txt",
                env!("CARGO_MANIFEST_DIR"),
                self.name
            );
            std::fs::write(path, &made).expect("the testdata can be written");
            return;
        }
        let decided = check(
            self.text,
            |_| true,
            str::to_owned,
            |case| self.answers(case, SeededDice::new(case.number("seed"))),
        );
        assert!(decided >= 300, "only {decided} decisions");
        let first = made
            .lines()
            .zip(self.text.lines())
            .position(|(made, stands)| made != stands);
        assert!(
            made == self.text,
            "the generator makes another text, from line {first:?} on (counted from 0)"
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that may write its own expectations, as its header says"
)]
fn blessed() -> bool {
    std::env::var("PLIMSOLL_BLESS").is_ok_and(|value| value == "1")
}

macro_rules! hold {
    ($($name:ident)+) => { $( #[test] fn $name() { self::$name::VECTORS.hold(); } )+ };
}

hold! { breaker bulkhead deadline fault rate retry shed tries }
