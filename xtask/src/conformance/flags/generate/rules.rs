//! Rules by chance.

use serde_json::{Value, json};

use super::super::Peer;
use super::{Generator, NAMES, SPACED, VERSIONS};

pub(super) const OPERATORS: &[&str] = &[
    "var",
    "missing",
    "missing_some",
    "if",
    "?:",
    "==",
    "===",
    "!=",
    "!==",
    "!",
    "!!",
    "or",
    "and",
    ">",
    ">=",
    "<",
    "<=",
    "max",
    "min",
    "+",
    "-",
    "*",
    "/",
    "%",
    "map",
    "reduce",
    "filter",
    "all",
    "none",
    "some",
    "merge",
    "in",
    "cat",
    "substr",
    "fractional",
    "sem_ver",
    "starts_with",
    "ends_with",
    "unheard_of",
];

impl Generator {
    pub(super) fn targeting(&mut self) -> Value {
        if self.is_flagd() && self.dice.one_in(3) {
            return self.anything(4);
        }
        loop {
            let rule = self.variant(4);
            if rule.is_object() {
                return rule;
            }
        }
    }

    /// A rule that names a variant, mostly.
    fn variant(&mut self, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else {
            return match self.dice.below(12) {
                0 => Value::Null,
                1 => "gone".into(),
                _ => self.dice.pick(NAMES).into(),
            };
        };
        match self.dice.below(12) {
            0 | 1 => {
                let mut clauses = Vec::new();
                for _ in 0..=self.dice.below(2) {
                    clauses.push(self.truth(below));
                    clauses.push(self.variant(below));
                }
                if !self.dice.one_in(3) {
                    clauses.push(self.variant(below));
                }
                let operator = if self.is_flagd() || self.peer == Peer::Python {
                    self.dice.pick(&["if", "if", "?:"])
                } else {
                    "if"
                };
                json!({ operator: clauses })
            }
            2..=5 => self.split(below, false),
            6 => json!({ "or": [self.variant(below), self.variant(below)] }),
            7 => json!({ "and": [self.truth(below), self.variant(below)] }),
            8 => json!({ "var": "pick" }),
            9 => self.truth(below),
            10 if self.peer != Peer::Python => self.number(below),
            10 => json!({ "var": ["age", 3] }),
            _ => self.variant(0),
        }
    }

    /// A split over variants, or over truths.
    fn split(&mut self, depth: usize, of_truths: bool) -> Value {
        let mut operands = Vec::new();
        match self.dice.below(5) {
            0 | 1 => {}
            2 => operands
                .push(json!({ "cat": [{ "var": "$flagd.flagKey" }, { "var": ["targetingKey", "nobody"] }] })),
            3 => operands.push(self.text(1)),
            _ => operands.extend(self.key()),
        }
        let parts = match self.dice.below(12) {
            0 => 1,
            1 => 60,
            more => 2 + more / 4,
        };
        for _ in 0..parts {
            let mut part = vec![match self.dice.below(8) {
                _ if self.peer == Peer::OldJavaScript => self.dice.pick(NAMES).into(),
                _ if of_truths => self.dice.one_in(2).into(),
                0 if parts < 10 => self.variant(depth.min(2)),
                _ => self.dice.pick(NAMES).into(),
            }];
            match self.dice.below(8) {
                0 => {}
                1 if self.peer != Peer::OldJavaScript => part.push(self.odd_weight()),
                2 => part
                    .push(json!({ "if": [self.truth(1), 1 + self.dice.below(99), 1 + self.dice.below(9)] })),
                _ => part.push((1 + self.dice.below(100)).into()),
            }
            operands.push(part.into());
        }
        json!({ "fractional": operands })
    }

    fn odd_weight(&mut self) -> Value {
        let weights = [
            json!(0),
            json!(-5),
            json!(0.5),
            json!(2_147_483_647),
            json!("5"),
            json!(true),
            json!([]),
        ];
        weights[self.dice.below(weights.len())].clone()
    }

    /// What only some generations hash.
    fn key(&mut self) -> Option<Value> {
        let name = match self.peer {
            Peer::JavaScript | Peer::OldJavaScript => return None,
            _ => self.dice.pick(&[
                "age",
                "score",
                "beta",
                "user",
                "user.id",
                "user.plan",
                "user.name",
                "nobody",
            ]),
        };
        Some(json!({ "var": name }))
    }

    pub(super) fn truth(&mut self, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else {
            return if self.dice.one_in(3) {
                self.dice.one_in(2).into()
            } else {
                json!({ "var": ["beta", false] })
            };
        };
        if self.is_flagd() && self.dice.one_in(30) {
            return self.anything(below);
        }
        let order = self.dice.pick(&["<", "<=", ">", ">="]);
        let equality = self.dice.pick(&["==", "!=", "===", "!=="]);
        let (first, right) = (below, self.right(below));
        let operands = if self.peer == Peer::OldJavaScript { 11 } else { 18 };
        match self.dice.below(operands) {
            0 => json!({ order: [self.number(first), self.number(right)] }),
            1 => json!({ order: [self.text(first), self.text(right)] }),
            2 => json!({ order: [self.number(first), self.number(right), self.number(right)] }),
            3 => json!({ equality: [self.text(first), self.text(right)] }),
            4 => json!({ equality: [self.number(first), self.number(right)] }),
            5 => {
                json!({ equality: [{ "var": self.dice.pick(&["tier", "country"]) }, self.dice.pick(self.words)] })
            }
            6 => {
                json!({ self.dice.pick(&["==", "!="]): [{ "var": ["age", 7] }, self.dice.pick(&["7", "10", "33"])] })
            }
            7 => json!({ self.dice.pick(&["!", "!!"]): [self.truth(below)] }),
            8 => json!({ self.dice.pick(&["and", "or"]): [self.truth(below), self.truth(below)] }),
            9 => json!({ "in": [self.text(below), self.list(below)] }),
            10 => json!({ "in": [self.dice.pick(&["a", "o", "10", "@"]), self.text(below)] }),
            11 => {
                let operator = self.dice.pick(&["starts_with", "ends_with"]);
                let variable = self.dice.pick(&["mail", "tier", "age"]);
                json!({ operator: [{ "var": variable }, self.dice.pick(&["a", "ada", "com", "d", ""])] })
            }
            12 | 13 => self.versions(),
            14 => self.quantified(),
            15 => self.absent(),
            16 if !self.shared.is_empty() => {
                let at = self.dice.below(self.shared.len());
                json!({ "$ref": self.shared[at] })
            }
            17 if self.peer != Peer::OldJavaScript => self.split(below, true),
            _ => json!({ order: [{ "var": "$flagd.timestamp" }, self.dice.pick(&[0_u64, 4_000_000_000])] }),
        }
    }

    /// How deep the right side of a comparison may be.
    fn right(&self, depth: usize) -> usize {
        match self.peer {
            Peer::JavaScript | Peer::OldJavaScript => 0,
            _ => depth,
        }
    }

    fn versions(&mut self) -> Value {
        let operator = self.dice.pick(&["=", "!=", "<", "<=", ">", ">=", "^", "~", "=="]);
        let mut other = self.dice.pick(VERSIONS).into();
        if self.dice.one_in(8) {
            other = self.dice.pick(&[1.0, 2.5, 1.2]).into();
        }
        let one = self
            .dice
            .pick(&["version", "version", "version", "age", "nobody"]);
        let mut operands = vec![json!({ "var": one }), operator.into(), other];
        if self.dice.one_in(30) {
            operands.pop();
        }
        json!({ "sem_ver": operands })
    }

    fn quantified(&mut self) -> Value {
        let each = self.dice.pick(&["all", "some", "none"]);
        let test = match self.dice.below(4) {
            0 => json!({ "==": [{ "var": "colour" }, self.dice.pick(self.words)] }),
            1 => json!({ ">": [{ "var": "size" }, self.dice.below(20)] }),
            2 => json!({ "!!": [{ "var": "made" }] }),
            _ => {
                json!({ "and": [{ "<": [{ "var": "size" }, self.dice.below(20)] }, { "!": [{ "var": "made" }] }] })
            }
        };
        if self.dice.one_in(3) {
            let test = json!({ "<": [{ "var": "" }, self.dice.below(60)] });
            return json!({ each: [{ "var": ["numbers", []] }, test] });
        }
        json!({ each: [{ "var": ["items", []] }, test] })
    }

    fn absent(&mut self) -> Value {
        let names = ["tier", "age", "items", "user.name", "nobody"];
        let some: Vec<&str> = names.into_iter().filter(|_| self.dice.one_in(2)).collect();
        if self.dice.one_in(2) {
            json!({ "!!": [{ "missing": some }] })
        } else {
            json!({ "!!": [{ "missing_some": [self.dice.below(4), some] }] })
        }
    }

    fn number(&mut self, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else {
            return match self.dice.below(4) {
                0 => json!({ "var": ["age", 5] }),
                1 => json!({ "var": ["score", 2.5] }),
                2 => json!({ "var": ["user.id", 3] }),
                _ => (self.dice.below(400) as f64 / 4.0 - 20.0).into(),
            };
        };
        match self.dice.below(9) {
            0 => json!({ "+": [self.number(below), self.number(below), self.number(0)] }),
            1 => json!({ "-": [self.number(below), self.number(below)] }),
            2 => json!({ "*": [self.number(below), self.dice.below(9)] }),
            3 => json!({ "/": [self.number(below), self.dice.pick(&[1, 2, 4, 8])] }),
            // The sign of a remainder of what is below 0 is Python's own.
            4 => json!({ "%": [{ "var": ["age", 5] }, 1 + self.dice.below(9)] }),
            5 => {
                json!({ self.dice.pick(&["max", "min"]): [self.number(below), self.number(below), self.number(0)] })
            }
            6 => json!({ "if": [self.truth(below), self.number(below), self.number(0)] }),
            7 => {
                let sum = json!({ "+": [{ "var": "accumulator" }, { "var": "current" }] });
                json!({ "reduce": [self.numbers(below), sum, self.dice.below(5)] })
            }
            _ => self.number(0),
        }
    }

    fn numbers(&mut self, depth: usize) -> Value {
        let from = json!({ "var": ["numbers", [1, 2]] });
        if depth == 0 {
            return from;
        }
        match self.dice.below(4) {
            0 => json!({ "filter": [from, { ">": [{ "var": "" }, self.dice.below(40)] }] }),
            1 => json!({ "map": [from, { "*": [{ "var": "" }, self.dice.below(4)] }] }),
            2 => json!({ "merge": [from, self.numbers(depth - 1), 3] }),
            _ => from,
        }
    }

    fn text(&mut self, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else {
            if self.is_flagd() && self.dice.one_in(8) {
                return self.dice.pick(SPACED).into();
            }
            return match self.dice.below(3) {
                0 => json!({ "var": [self.dice.pick(&["tier", "country", "mail"]), "none"] }),
                1 => json!({ "var": ["user.plan.tier", "none"] }),
                _ => self.dice.pick(self.words).into(),
            };
        };
        match self.dice.below(5) {
            0 => json!({ "cat": [self.text(below), "-", self.text(below), self.dice.below(1_000)] }),
            1 => json!({ "cat": [self.text(below), { "var": ["age", 5] }] }),
            2 => json!({ "substr": ["abcdefgh", self.dice.below(4), self.dice.below(4)] }),
            3 => json!({ "if": [self.truth(below), self.text(below), self.text(0)] }),
            _ => self.text(0),
        }
    }

    fn list(&mut self, depth: usize) -> Value {
        match self.dice.below(4) {
            0 => json!({ "var": ["tags", ["de", "x"]] }),
            1 if depth > 0 => json!({ "merge": [self.list(depth - 1), [self.dice.pick(self.words)]] }),
            2 if depth > 0 => {
                let wanted = json!({ "!=": [{ "var": "" }, self.dice.pick(self.words)] });
                json!({ "filter": [self.list(depth - 1), wanted] })
            }
            _ => (0..self.dice.below(4))
                .map(|_| self.dice.pick(self.words))
                .collect(),
        }
    }

    /// Any operator over any operands, for flagd alone.
    fn anything(&mut self, depth: usize) -> Value {
        let Some(below) = depth.checked_sub(1) else {
            let path = [
                "odd",
                "odd.1",
                "odd.0.x",
                "age",
                "items",
                "",
                ".",
                "tags",
                "user",
                "beta",
                "items.0.size",
            ];
            return match self.dice.below(12) {
                0 => Value::Null,
                1 => self.dice.one_in(2).into(),
                2 => (self.dice.below(40) as f64 / 4.0 - 2.0).into(),
                3 => self.dice.pick(self.words).into(),
                4 => self.dice.pick(SPACED).into(),
                5 => self.dice.pick(NAMES).into(),
                6 => json!([]),
                7 => json!({ "a": 1, "b": [2] }),
                8 => json!([self.dice.below(9), self.dice.pick(self.words)]),
                _ => json!({ "var": self.dice.pick(&path) }),
            };
        };
        let operator = self.dice.pick(OPERATORS);
        if self.dice.one_in(6) {
            return json!({ operator: self.anything(below) });
        }
        if self.dice.one_in(5) {
            return self.truth(below);
        }
        let count = self.dice.below(5);
        let mut operands: Vec<Value> = (0..count).map(|_| self.anything(below)).collect();
        if operator == "fractional" {
            for operand in operands.iter_mut().skip(1) {
                *operand = json!([self.anything(below.min(1)), self.anything(0)]);
            }
        }
        json!({ operator: operands })
    }
}
