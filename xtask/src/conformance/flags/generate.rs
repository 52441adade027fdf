//! Definitions and contexts by chance: well formed for all, and for flagd itself also any other way.
//!
//! What a peer is not asked:
//!
//! - All: references inside evaluators, which all three resolve or not by the order of a map. Objects with one member
//!   in contexts, which flagd may take for a rule. `log`, which flagd lacks.
//! - JavaScript and Python: operands of kinds that an operator does not take. flagd fails with `PARSE_ERROR` there and
//!   they coerce, each in its own way; so numbers and texts that may be missing have defaults where they are operands.
//!   White space, which flagd's `cat` trims. Variables of items that are in the context too, or that have defaults,
//!   which flagd takes from the context first. Nulls in lists, which flagd's `reduce` passes over. `substr` out of the
//!   text.
//! - JavaScript: `in` with a number in a text or the like; `?:`, which it lacks; operators that nobody knows, which it
//!   finds when it loads the flag even where they are not reached; null as the key of a split, which it takes for a
//!   part; numbers beside texts that are none, for which it fails with `GENERAL`; weights of null; texts beyond ASCII, of
//!   which it hashes UTF-16 where flagd hashes UTF-8; rules on the right side of a comparison, which its compiler lets
//!   overwrite the left side; and iterations over nothing, for which its `all` holds.
//! - The old JavaScript besides: keys on the last of 2³¹ places, where it divides by 2³¹ and flagd by 2³¹ − 1; weights
//!   that are not positive; empty targeting keys, for which it gives the default; flags that are disabled or have no
//!   default variant, which it does not find; and the custom operators, which then gave false where they now give null.
//! - Python: 1 and 0 as variants, which the rule of a ramp cannot tell from true and false there; `==` of null with
//!   numbers, of empty texts with numbers; weights that are computed to a float, even if whole, which it refuses;
//!   numbers that are not whole as variants, or as texts; integers over 2⁵³; versions that are cut short before a
//!   pre-release; targeting keys that are no text; parts with something behind the weight; numbers of flags that are
//!   booleans, which it takes for numbers; and texts beyond ASCII in shared rules, which it cannot put in.

mod rules;

use serde_json::{Map, Value, json};

use super::Peer;

/// A definition, and whom to evaluate it for.
pub(super) struct Question {
    pub(super) definitions: Value,
    pub(super) flag: String,
    pub(super) kind: &'static str,
    pub(super) contexts: Vec<Value>,
}

impl Question {
    /// As a line for a peer.
    pub(super) fn line(&self, now_s: u64) -> String {
        json!({
            "definitions": self.definitions,
            "flag": self.flag,
            "kind": self.kind,
            "now": now_s,
            "contexts": self.contexts,
        })
        .to_string()
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): small, and enough to choose with.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const NAMES: &[&str] = &["on", "off", "blue", "true", "false", "1", "2.5"];
const WORDS: &[&str] = &[
    "über",
    "gold",
    "silver",
    "de",
    "fr",
    "ada@example.com",
    "beta-7",
    "x",
    "10",
    "7",
];
const SPACED: &[&str] = &[
    "", " gold", "de ", "a b", "\t", "null", "0x10", "1e3", "Infinity", "-0",
];
const VERSIONS: &[&str] = &[
    "1.0.0",
    "v1.2.3",
    "V2.0.0",
    "2.0.0-alpha.1",
    "2.0.0-alpha.beta",
    "1.2.3+build.5",
    "1.2",
    "3",
    "10.20.30",
    "1.9.9",
    "no-version",
    "1.2.3.4",
    "01.2.3",
    "1.0.0-rc.1",
    "1.0.0-rc.10",
    "1.0.0-0a",
];
pub(super) struct Generator {
    peer: Peer,
    dice: Dice,
    /// Names of shared rules of the definitions in hand.
    shared: Vec<String>,
    words: &'static [&'static str],
}

impl Generator {
    pub(super) fn new(peer: Peer, seed: u64) -> Self {
        Self {
            peer,
            dice: Dice(seed),
            shared: Vec::new(),
            words: WORDS,
        }
    }

    fn is_flagd(&self) -> bool {
        self.peer == Peer::Flagd
    }

    pub(super) fn question(&mut self, contexts: u64) -> Question {
        self.shared.clear();
        self.words = if self.is_flagd() { WORDS } else { &WORDS[1..] };
        let mut evaluators = Map::new();
        for name in ["is_gold", "grown up"].into_iter().take(self.dice.below(3)) {
            let rule = self.truth(2);
            // A shared rule is an operation; a constant is one that nobody shares.
            if rule.is_object() {
                evaluators.insert(name.to_owned(), rule);
            }
        }
        if self.peer == Peer::Python {
            self.words = WORDS;
        }
        self.shared = evaluators.keys().cloned().collect();
        let kind = self.dice.pick(&["bool", "string", "number", "object"]);
        let written = kind;
        let flag = self.dice.pick(&["new-tax", "f", "banner.colour"]).to_owned();
        let mut definition = self.definition(kind);
        if self.dice.one_in(5) && !matches!(self.peer, Peer::OldJavaScript) {
            definition = self.ramped(&definition, kind);
        }
        let mut definitions = json!({ "flags": { &flag: definition } });
        if !evaluators.is_empty() {
            definitions["$evaluators"] = evaluators.into();
        }
        let asked = if self.dice.one_in(50) {
            "gone".to_owned()
        } else {
            flag
        };
        // Somebody may ask for another kind than the flag has.
        let kind = if self.dice.one_in(20) {
            self.dice.pick(&["bool", "string", "number", "object"])
        } else {
            kind
        };
        let kind = if self.peer == Peer::Python && kind == "number" {
            written
        } else {
            kind
        };
        Question {
            definitions,
            flag: asked,
            kind,
            contexts: (0..contexts).map(|_| self.context()).collect(),
        }
    }

    fn definition(&mut self, kind: &str) -> Value {
        let mut definition = Map::new();
        let state = if self.dice.one_in(25) && self.peer != Peer::OldJavaScript {
            "DISABLED"
        } else {
            "ENABLED"
        };
        definition.insert("state".to_owned(), state.into());
        let names = &NAMES[self.dice.below(3)..];
        let variants: Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), self.value(kind)))
            .collect();
        let default = match self.dice.below(8) {
            0 if self.peer != Peer::OldJavaScript => None,
            1 if self.peer != Peer::OldJavaScript => Some(Value::Null),
            _ => Some(self.dice.pick(names).into()),
        };
        definition.extend(default.map(|default| ("defaultVariant".to_owned(), default)));
        definition.insert("variants".to_owned(), variants.into());
        let targeting = match self.dice.below(20) {
            0 => None,
            1 => Some(json!({})),
            _ => Some(self.targeting()),
        };
        definition.extend(targeting.map(|targeting| ("targeting".to_owned(), targeting)));
        definition.into()
    }

    /// A ramp from a definition to another of the same kind, which is a definition like any.
    fn ramped(&mut self, before: &Value, kind: &str) -> Value {
        let after = self.definition(kind);
        let before = (!self.dice.one_in(8)).then_some(before);
        let slots = self.dice.pick(&[10, 1_000, 65_536]);
        let boundary = self.dice.below(slots as usize + 1) as u32;
        plimsoll_flags::ramp(before, &after, "change-7", "next", boundary, slots).unwrap_or(after)
    }

    fn value(&mut self, kind: &str) -> Value {
        match kind {
            "bool" => self.dice.one_in(2).into(),
            "string" => self.dice.pick(self.words).into(),
            "number" => (self.dice.below(2_000) as f64 / 8.0 - 20.0).into(),
            _ => json!({ "size": self.dice.below(10), "name": self.dice.pick(self.words) }),
        }
    }

    fn context(&mut self) -> Value {
        let mut context = Map::new();
        let mut add = |dice: &mut Dice, name: &str, value: Value| {
            if !dice.one_in(6) {
                context.insert(name.to_owned(), value);
            }
        };
        let (dice, words) = (&mut self.dice, self.words);
        let key = format!("user-{}", dice.roll() % 100_000_000);
        add(dice, "targetingKey", key.into());
        for name in ["tier", "country", "mail"] {
            let word = dice.pick(words);
            add(dice, name, word.into());
        }
        let age = 2 + dice.below(98);
        let score = if dice.one_in(3) {
            dice.roll() as f64 / 10_f64.powf(dice.below(30) as f64)
        } else {
            dice.below(4_000) as f64 / 16.0 - 100.0
        };
        add(dice, "age", age.into());
        add(dice, "score", score.into());
        let (beta, version) = (dice.one_in(2), dice.pick(VERSIONS));
        add(dice, "beta", beta.into());
        add(dice, "version", version.into());
        let tags: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(words)).collect();
        add(dice, "tags", tags.into());
        let numbers: Vec<f64> = (0..dice.below(5))
            .map(|_| dice.below(100) as f64 - 30.0)
            .collect();
        add(dice, "numbers", numbers.into());
        let items: Vec<Value> = (0..dice.below(4))
            .map(|_| json!({ "colour": dice.pick(words), "size": dice.below(20), "made": dice.one_in(2) }))
            .collect();
        add(dice, "items", items.into());
        let (name, plan) = (dice.pick(words), dice.pick(words));
        let (id, trial) = (dice.roll() >> (11 + dice.below(50)), dice.one_in(2));
        add(
            dice,
            "user",
            json!({ "name": name, "id": id, "plan": { "tier": plan, "trial": trial } }),
        );
        let pick = dice.pick(NAMES);
        add(dice, "pick", pick.into());
        if self.is_flagd() {
            let dice = &mut self.dice;
            let odd = [
                dice.pick(SPACED).into(),
                Value::Null,
                json!([1, [2, 3], "a"]),
                json!(1e21),
                json!(-0.000_001_5),
                json!({}),
                json!([]),
                json!(["a", null, 3]),
            ];
            let odd = odd[dice.below(odd.len())].clone();
            context.insert("odd".to_owned(), odd);
            if dice.one_in(10) {
                context.insert(
                    "targetingKey".to_owned(),
                    self.dice.pick(&["", " ", "ejOoVL", "ceQdGm"]).into(),
                );
            } else if dice.one_in(20) {
                context.insert("targetingKey".to_owned(), 5.into());
            }
        }
        context.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_asks_the_same_twice() {
        let lines = |seed| -> Vec<String> {
            let mut generator = Generator::new(Peer::Python, seed);
            (0..20).map(|_| generator.question(3).line(0)).collect()
        };
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
    }

    #[test]
    fn every_peer_is_asked_of_every_operator_that_it_has() {
        for peer in [Peer::Flagd, Peer::JavaScript, Peer::Python] {
            let mut generator = Generator::new(peer, 1);
            let asked: String = (0..2_000).map(|_| generator.question(0).line(0)).collect();
            for operator in rules::OPERATORS {
                let left_out = matches!((peer, *operator), (Peer::JavaScript, "?:") | (_, "unheard_of"));
                assert!(
                    left_out || asked.contains(&format!("{{\"{operator}\":")),
                    "{operator} for {peer:?}"
                );
            }
        }
    }
}
