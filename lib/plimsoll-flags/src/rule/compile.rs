//! Compiles rules: finds what cannot work, and what hardly can be meant.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::expr::{Each, Eager, Expr, Iterate, Operands, Part, Reduce, Split, Var};
use super::lookup::{FLAGD, parts};
use super::value::plain_number;
use crate::context::TARGETING_KEY;
use crate::problem::{Place, Problems};

mod doubt;

/// How deep operators may be nested, references taken along. The evaluator recurses as deep.
const DEPTH_MAX: usize = 64;

/// Nodes of a rule at most, references taken along: evaluators that refer to each other twice each would otherwise
/// double at every step. Texts count as nodes by their length.
const NODES_MAX: usize = 20_000;

/// Nodes of all rules of a set at most. Every flag has its own copy of the evaluators that it refers to, so a few
/// megabytes of definitions could otherwise fill any memory.
pub(crate) const SET_NODES_MAX: usize = 2_000_000;

/// Bytes of text that count as one node.
const NODE_BYTES: usize = 64;

/// Shared rules, by name.
#[derive(Debug, Default)]
pub(crate) struct Evaluators<'v> {
    rules: Option<&'v Map<String, Value>>,
    place: Place,
}

impl<'v> Evaluators<'v> {
    pub(crate) fn of(value: Option<&'v Value>, root: &Place, wrong: &mut Problems) -> Self {
        let place = root.name("$evaluators");
        let rules = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(rules)) => Some(rules),
            Some(_) => {
                wrong.add(&place, "evaluators are an object", "write rules by their names");
                None
            }
        };
        for (name, rule) in rules.into_iter().flatten() {
            // flagd refuses the whole set for it.
            if rule.as_object().is_some_and(Map::is_empty) {
                wrong.add(
                    &place.name(name),
                    "the evaluator is empty",
                    "write a rule or leave it out",
                );
            }
        }
        Self { rules, place }
    }

    /// A compiler for one flag's rule.
    pub(crate) fn rules<'r>(
        &'r self,
        set_left: &'r mut usize,
        wrong: &'r mut Problems,
        doubts: &'r mut Problems,
        variables: &'r mut BTreeSet<String>,
    ) -> Rules<'r>
    where
        'v: 'r,
    {
        Rules {
            evaluators: self,
            wrong,
            doubts,
            variables,
            within: Vec::new(),
            items: 0,
            nodes_left: NODES_MAX,
            set_left,
            is_spent: false,
        }
    }

    /// Finds what is wrong with each of them, whether it is used or not.
    pub(crate) fn check(&self, wrong: &mut Problems, doubts: &mut Problems) {
        for (name, rule) in self.rules.into_iter().flatten() {
            let mut variables = BTreeSet::new();
            let mut set_left = SET_NODES_MAX;
            let mut rules = self.rules(&mut set_left, wrong, doubts, &mut variables);
            rules.within.push(name.clone());
            rules.expr(rule, &self.place.name(name), 0);
        }
    }
}

/// The compiler of one flag's rule.
pub(crate) struct Rules<'r> {
    evaluators: &'r Evaluators<'r>,
    wrong: &'r mut Problems,
    doubts: &'r mut Problems,
    variables: &'r mut BTreeSet<String>,
    /// The evaluators that it is inside of.
    within: Vec<String>,
    /// Iterations that it is inside of whose variables are those of an item, and of nothing else.
    items: usize,
    nodes_left: usize,
    /// What is left for the set.
    set_left: &'r mut usize,
    /// Whether either is used up.
    is_spent: bool,
}

impl Rules<'_> {
    /// A flag's rule, or none if its targeting is the empty object.
    pub(super) fn targeting(&mut self, targeting: &Value, place: &Place) -> Option<Expr> {
        match targeting {
            Value::Object(members) if members.is_empty() => return None,
            Value::Object(members) if members.len() == 1 => {}
            Value::Null => {
                let instead = "leave it out, or write an empty object";
                self.doubts.add(place, "targeting is null", instead);
            }
            _ => {
                let instead = "write an object with one operator in it, or leave it out";
                self.wrong.add(place, "targeting is no rule", instead);
            }
        }
        Some(self.expr(targeting, place, 0))
    }

    fn expr(&mut self, value: &Value, place: &Place, depth: usize) -> Expr {
        if let Some(too_large) = self.spend(cost(value), place) {
            return too_large;
        }
        if depth > DEPTH_MAX {
            let instead = format!("{DEPTH_MAX} levels are the most");
            return self.fail(place, "the rule is nested too deep".to_owned(), &instead);
        }
        match value {
            Value::Array(items) => {
                let items = self.each(items, place, depth);
                if self.is_spent {
                    Expr::Fail("the rule is too large".to_owned())
                } else if items.iter().all(|item| matches!(item, Expr::Literal(_))) {
                    Expr::Literal(value.clone())
                } else {
                    Expr::List(items)
                }
            }
            Value::Object(members) if members.len() == 1 => {
                let mut members = members.iter();
                match members.next() {
                    Some((operator, operand)) => self.operation(operator, operand, place, depth),
                    None => Expr::Literal(Value::Null),
                }
            }
            Value::Object(members) => {
                if !members.is_empty() {
                    let instead = "write one operator per object";
                    let what = "an object with several members is data, and not evaluated";
                    self.doubts.add(place, what, instead);
                }
                Expr::Literal(value.clone())
            }
            _ => Expr::Literal(value.clone()),
        }
    }

    /// Takes nodes for something of this cost; if there are not so many left, what stands in its place.
    fn spend(&mut self, cost: usize, place: &Place) -> Option<Expr> {
        if let (Some(left), Some(set_left)) =
            (self.nodes_left.checked_sub(cost), self.set_left.checked_sub(cost))
        {
            (self.nodes_left, *self.set_left) = (left, set_left);
            return None;
        }
        let of_rule = self.nodes_left < cost;
        let (why, instead) = if of_rule {
            (
                "the rule is too large",
                format!("a rule may have {NODES_MAX} parts, with those of its references"),
            )
        } else {
            let instead = format!("all rules may have {SET_NODES_MAX} parts, with those of their references");
            ("the rules of this set are too large together", instead)
        };
        // Told once, and nothing more is looked at: what is too large is not gone through to its end.
        if !self.is_spent {
            self.wrong.add(place, why, &instead);
        }
        self.is_spent = true;
        self.nodes_left = 0;
        if !of_rule {
            *self.set_left = 0;
        }
        Some(Expr::Fail(why.to_owned()))
    }

    fn each(&mut self, items: &[Value], place: &Place, depth: usize) -> Vec<Expr> {
        let mut compiled = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            if self.is_spent {
                break;
            }
            compiled.push(self.expr(item, &place.index(at), depth + 1));
        }
        compiled
    }

    fn fail(&mut self, place: &Place, why: String, instead: &str) -> Expr {
        self.wrong.add(place, why.clone(), instead);
        Expr::Fail(why)
    }

    fn operation(&mut self, operator: &str, operand: &Value, place: &Place, depth: usize) -> Expr {
        if operator == "$ref" {
            return self.reference(operand, place, depth);
        }
        let place = place.name(operator);
        if let Some(eager) = eager(operator) {
            doubt::operands(eager, operator, operand, &place, self.doubts);
            return self.eager(eager, operand, &place, depth);
        }
        let Some(lazy) = lazy(operator) else {
            let instead = "the operators are those of flagd's schema for targeting";
            return self.fail(&place, format!("there is no operator {operator:?}"), instead);
        };
        if lazy == Lazy::Var {
            return Expr::Var(self.var(operand, &place, depth));
        }
        let Value::Array(operands) = operand else {
            let why = format!("{operator} takes a list of operands");
            return self.fail(&place, why, "write them in brackets");
        };
        match lazy {
            Lazy::If => Expr::If(self.each(operands, &place, depth)),
            Lazy::And => Expr::And(self.each(operands, &place, depth)),
            Lazy::Or => Expr::Or(self.each(operands, &place, depth)),
            Lazy::Each(each) => self.iterate(each, operator, operands, &place, depth),
            Lazy::Reduce => self.reduce(operands, &place, depth),
            Lazy::Var => Expr::Literal(Value::Null),
        }
    }

    fn eager(&mut self, eager: Eager, operand: &Value, place: &Place, depth: usize) -> Expr {
        if matches!(eager, Eager::Missing | Eager::MissingSome) {
            self.named_in(operand);
        }
        let Value::Array(operands) = operand else {
            let operand = self.expr(operand, place, depth + 1);
            return Expr::Eager(eager, Operands::Single(Box::new(operand)));
        };
        if eager == Eager::Fractional
            && let Some(split) = self.split(operands, place, depth)
        {
            return Expr::Split(Box::new(split));
        }
        Expr::Eager(eager, Operands::Listed(self.each(operands, place, depth)))
    }

    /// A split whose parts are written out.
    fn split(&mut self, operands: &[Value], place: &Place, depth: usize) -> Option<Split> {
        let (first, others) = operands.split_first()?;
        self.reads(TARGETING_KEY);
        if !others.iter().all(Value::is_array) || (others.is_empty() && !first.is_array()) {
            return None;
        }
        let by = (!first.is_array()).then(|| self.expr(first, &place.index(0), depth + 1));
        let parts = operands.iter().enumerate().filter_map(|(at, operand)| {
            let written = self.each(operand.as_array()?, &place.index(at), depth + 1);
            Some(Part { written })
        });
        let parts = parts.collect();
        Some(Split::new(by, parts))
    }

    fn reference(&mut self, name: &Value, place: &Place, depth: usize) -> Expr {
        let rules = self.evaluators.rules;
        let found = name.as_str().and_then(|name| Some((name, rules?.get(name)?)));
        let Some((name, rule)) = found else {
            let names: Vec<&str> = rules
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            let instead = match names[..] {
                [] => "there are no $evaluators".to_owned(),
                _ => format!("the $evaluators are {}", names.join(", ")),
            };
            return self.fail(
                &place.name("$ref"),
                format!("there is no evaluator {name}"),
                &instead,
            );
        };
        if self.within.iter().any(|outer| outer == name) {
            let circle = format!("{} -> {name}", self.within.join(" -> "));
            let place = place.name("$ref");
            return self.fail(
                &place,
                format!("evaluators refer to each other in a circle: {circle}"),
                "break it",
            );
        }
        self.within.push(name.to_owned());
        let expr = self.expr(rule, &self.evaluators.place.name(name), depth + 1);
        self.within.pop();
        expr
    }

    fn var(&mut self, operand: &Value, place: &Place, depth: usize) -> Var {
        let named = |path: &str, default: Option<Box<Expr>>, around: bool| Var::Named {
            path: parts(path).map(str::to_owned).collect(),
            default,
            around,
        };
        match operand {
            Value::Null => Var::Scalar,
            Value::String(path) => {
                self.reads_path(path, place);
                named(path, None, !path.is_empty() && !path.starts_with('.'))
            }
            Value::Number(number) => {
                let path = plain_number(number.as_f64().unwrap_or(f64::NAN));
                self.reads_path(&path, place);
                named(&path, None, true)
            }
            Value::Array(operands) => match &operands[..] {
                [] => named("", None, true),
                [Value::String(path)] => {
                    self.reads_path(path, place);
                    named(path, None, true)
                }
                [Value::String(path), default] => {
                    self.reads_path(path, place);
                    let default = self.expr(default, &place.index(1), depth + 1);
                    named(path, Some(Box::new(default)), true)
                }
                _ => Var::Computed(Box::new(self.expr(operand, place, depth + 1))),
            },
            Value::Bool(_) | Value::Object(_) => {
                Var::Computed(Box::new(self.expr(operand, place, depth + 1)))
            }
        }
    }

    /// Notes that the rule reads what lies at a path.
    fn reads_path(&mut self, path: &str, place: &Place) {
        let mut parts = parts(path);
        let Some(first) = parts.next() else {
            return;
        };
        if first != FLAGD {
            self.reads(first);
        } else if !matches!(parts.next(), None | Some("flagKey" | "timestamp")) {
            let instead = "there are $flagd.flagKey and $flagd.timestamp";
            self.doubts
                .add(place, format!("flagd does not set {path}"), instead);
        }
    }

    fn reads(&mut self, attribute: &str) {
        if self.items == 0 {
            self.variables.insert(attribute.to_owned());
        }
    }

    /// Notes variables that `missing` asks for.
    fn named_in(&mut self, operand: &Value) {
        match operand {
            Value::String(path) => {
                if let Some(first) = parts(path).next().filter(|first| *first != FLAGD) {
                    self.reads(first);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.named_in(item);
                }
            }
            _ => {}
        }
    }

    /// What is gone through: a list as it is written, or what a rule comes to.
    fn subject(&mut self, subject: &Value, place: &Place, depth: usize) -> Option<Expr> {
        match subject {
            Value::Array(items) => {
                if items.iter().any(|item| item.is_object() || item.is_array()) {
                    let what = "items of a list that is written here are data, and not evaluated";
                    self.doubts
                        .add(place, what, "let a rule give the list, such as merge");
                }
                if let Some(too_large) = self.spend(weight(subject), place) {
                    return Some(too_large);
                }
                Some(Expr::Literal(subject.clone()))
            }
            Value::Object(_) => Some(self.expr(subject, place, depth + 1)),
            _ => {
                self.doubts
                    .add(place, "this is never a list", "let a rule give one, such as var");
                None
            }
        }
    }

    fn iterate(
        &mut self,
        each: Each,
        operator: &str,
        operands: &[Value],
        place: &Place,
        depth: usize,
    ) -> Expr {
        let collects = matches!(each, Each::Map | Each::Filter);
        let [subject, logic, ..] = operands else {
            let why = format!("{operator} takes a list and a rule");
            if collects {
                self.doubts.add(place, why, "without them it gives an empty list");
                return Expr::Literal(Value::Array(Vec::new()));
            }
            let Some(subject) = operands.first() else {
                return self.fail(place, why, "write both");
            };
            // Over nothing it has an answer all the same.
            let subject = self.subject(subject, &place.index(0), depth);
            let logic = self.fail(place, why, "write both");
            return Expr::Iterate(Box::new(Iterate { each, subject, logic }));
        };
        let subject = self.subject(subject, &place.index(0), depth);
        let is_test = !collects;
        // In these, variables are looked up around the iteration as well.
        let only_item = matches!(each, Each::Map | Each::All);
        let logic = self.logic(logic, &place.index(1), depth, only_item, is_test);
        Expr::Iterate(Box::new(Iterate { each, subject, logic }))
    }

    fn logic(&mut self, logic: &Value, place: &Place, depth: usize, only_item: bool, is_test: bool) -> Expr {
        if is_test && !logic.is_object() {
            return self.fail(
                place,
                "this is no rule to apply to each item".to_owned(),
                "write one",
            );
        }
        self.items += usize::from(only_item);
        let logic = self.expr(logic, place, depth + 1);
        self.items -= usize::from(only_item);
        logic
    }

    fn reduce(&mut self, operands: &[Value], place: &Place, depth: usize) -> Expr {
        let [subject, logic, first, ..] = operands else {
            let what = "reduce takes a list, a rule and what to begin with";
            self.doubts.add(place, what, "without them it gives 0");
            return Expr::Literal(0.into());
        };
        let subject = self.subject(subject, &place.index(0), depth);
        let logic = self.logic(logic, &place.index(1), depth, true, true);
        let first = self.expr(first, &place.index(2), depth + 1);
        Expr::Reduce(Box::new(Reduce {
            subject,
            logic,
            first,
        }))
    }
}

/// What a node costs, without those below it that are compiled by themselves.
fn cost(value: &Value) -> usize {
    let Value::Object(members) = value else {
        return if value.is_array() { 1 } else { weight(value) };
    };
    match members.iter().next().filter(|_| members.len() == 1) {
        Some((operator, operand)) if matches!(operator.as_str(), "var" | "$ref") => 1 + weight(operand),
        Some((operator, _)) => 1 + operator.len() / NODE_BYTES,
        None => weight(value),
    }
}

/// What data costs as a whole.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / NODE_BYTES,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            let members = members.iter();
            1 + members
                .map(|(name, value)| name.len() / NODE_BYTES + weight(value))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// Operators that look at their operands before they evaluate them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lazy {
    Var,
    If,
    And,
    Or,
    Each(Each),
    Reduce,
}

fn lazy(operator: &str) -> Option<Lazy> {
    Some(match operator {
        "var" => Lazy::Var,
        "if" | "?:" => Lazy::If,
        "and" => Lazy::And,
        "or" => Lazy::Or,
        "map" => Lazy::Each(Each::Map),
        "filter" => Lazy::Each(Each::Filter),
        "all" => Lazy::Each(Each::All),
        "some" => Lazy::Each(Each::Some),
        "none" => Lazy::Each(Each::None),
        "reduce" => Lazy::Reduce,
        _ => return None,
    })
}

fn eager(operator: &str) -> Option<Eager> {
    Some(match operator {
        "==" => Eager::Equal,
        "!=" => Eager::NotEqual,
        "===" => Eager::Same,
        "!==" => Eager::NotSame,
        "<" => Eager::Less,
        "<=" => Eager::LessOrEqual,
        ">" => Eager::Greater,
        ">=" => Eager::GreaterOrEqual,
        "!" => Eager::Not,
        "!!" => Eager::Truth,
        "+" => Eager::Add,
        "-" => Eager::Subtract,
        "*" => Eager::Multiply,
        "/" => Eager::Divide,
        "%" => Eager::Remainder,
        "max" => Eager::Max,
        "min" => Eager::Min,
        "cat" => Eager::Cat,
        "substr" => Eager::Substr,
        "in" => Eager::In,
        "merge" => Eager::Merge,
        "missing" => Eager::Missing,
        "missing_some" => Eager::MissingSome,
        "log" => Eager::Log,
        "fractional" => Eager::Fractional,
        "sem_ver" => Eager::SemVer,
        "starts_with" => Eager::StartsWith,
        "ends_with" => Eager::EndsWith,
        _ => return None,
    })
}
