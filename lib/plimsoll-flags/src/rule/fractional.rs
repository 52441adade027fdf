//! `fractional`: splits keys over variants by weight.
//!
//! The first operand is what is hashed, unless it is a part itself; then it is the flag's key with the targeting key.
//! Whatever is wrong gives null, and so the default variant.

use serde_json::Value;

use super::Failure;
use super::eval::{Env, Scope};
use super::expr::{Expr, Part, Split};
use super::lookup::FLAGD;
use super::value::Val;
use crate::cbor;
use crate::context::TARGETING_KEY;
use plimsoll_policy::Bucketing;
use plimsoll_policy::murmur3;

/// The most that weights may add up to, in `v2` and `v3`.
const TOTAL_MAX: i64 = i32::MAX as i64;

/// How deep what is hashed may be nested. Nothing that was read from a text is deeper.
const DEPTH_MAX: usize = 128;

impl Split {
    pub(super) fn new(by: Option<Expr>, parts: Vec<Part>) -> Self {
        let mut split = Self {
            by,
            parts,
            plan: None,
        };
        split.plan = split.plan();
        split
    }

    /// The weights, if nothing about them has to be computed and nothing is wrong.
    fn plan(&self) -> Option<(i64, Vec<i64>)> {
        let mut weights = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let literal = |at: usize| match part.written.get(at) {
                None => Some(None),
                Some(Expr::Literal(value)) => Some(Some(Val::from(value))),
                Some(_) => None,
            };
            is_variant(&literal(0)??).then_some(())?;
            weights.push(weight(literal(1)?.as_ref())?);
        }
        let total: i64 = weights.iter().sum();
        (1..=TOTAL_MAX).contains(&total).then_some((total, weights))
    }
}

/// Whether a part may lead to it.
fn is_variant(value: &Val<'_>) -> bool {
    value.is_scalar()
}

/// A weight as `v2` and `v3` take it; `None` if it is wrong.
fn weight(value: Option<&Val<'_>>) -> Option<i64> {
    match value {
        None | Some(Val::Null) => Some(1),
        Some(Val::Num(number)) => {
            let whole = number.fract() == 0.0 && *number >= i64::MIN as f64 && *number <= TOTAL_MAX as f64;
            // Weights below zero come out of ramps that are computed from the time.
            whole.then(|| (*number as i64).max(0))
        }
        Some(_) => None,
    }
}

/// A weight as `v1` takes it: cut to a whole number, and 1 if it is no number.
fn weight_v1(value: Option<&Val<'_>>) -> i64 {
    match value {
        Some(Val::Num(number)) => super::value::whole(*number),
        _ => 1,
    }
}

impl<'a> Env<'a> {
    /// A split that is written out.
    pub(super) fn split(&self, split: &'a Split, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        if let (Some((total, weights)), false) = (&split.plan, self.bucketing == Bucketing::V1) {
            let key = match &split.by {
                Some(by) => self.eval(by, scope)?,
                None => Val::items(Vec::new()),
            };
            // A list would be a part.
            if split.by.is_none() || key.len().is_none() {
                let Some(hash) = self.hash(split.by.as_ref().map(|_| &key), scope.data)? else {
                    return Ok(Val::Null);
                };
                let at = self.bucketing.walk(hash, *total, weights.iter().copied());
                return match at.map(|at| &split.parts[at].written[0]) {
                    Some(Expr::Literal(variant)) => Ok(Val::from(variant)),
                    _ => Ok(Val::Null),
                };
            }
        }
        let mut operands = Vec::with_capacity(split.parts.len() + 1);
        if let Some(by) = &split.by {
            operands.push(self.eval(by, scope)?);
        }
        for part in &split.parts {
            let written: Result<Vec<_>, _> = part.written.iter().map(|expr| self.eval(expr, scope)).collect();
            operands.push(Val::items(written?));
        }
        self.fractional(&operands, scope.data)
    }

    /// A split over operands that are evaluated.
    pub(super) fn fractional(&self, operands: &[Val<'a>], data: &Val<'a>) -> Result<Val<'a>, Failure> {
        let Some(first) = operands.first() else {
            return Ok(Val::Null);
        };
        if self.bucketing == Bucketing::V1 && operands.len() < 2 {
            return Ok(Val::Null);
        }
        let (by, parts) = if first.len().is_some() {
            (None, operands)
        } else {
            (Some(first), &operands[1..])
        };
        let Some(hash) = self.hash(by, data)? else {
            return Ok(Val::Null);
        };
        if self.bucketing == Bucketing::V1 {
            return Ok(walk_v1(hash, parts));
        }
        let mut weights = Vec::with_capacity(parts.len());
        for part in parts {
            match part.item(0) {
                Some(variant) if is_variant(&variant) => {}
                _ => return Ok(Val::Null),
            }
            match weight(part.item(1).as_ref()) {
                Some(weight) => weights.push(weight),
                None => return Ok(Val::Null),
            }
        }
        let total: i64 = weights.iter().sum();
        if !(1..=TOTAL_MAX).contains(&total) {
            return Ok(Val::Null);
        }
        let at = self.bucketing.walk(hash, total, weights);
        Ok(at.and_then(|at| parts[at].item(0)).unwrap_or(Val::Null))
    }

    /// The hash of the key, or of the flag's key with the targeting key if there is none; `None` if there is nothing
    /// to hash.
    fn hash(&self, by: Option<&Val<'a>>, data: &Val<'a>) -> Result<Option<u32>, Failure> {
        if !matches!(data, Val::Context | Val::Map(_) | Val::Fold(_)) {
            return Ok(None);
        }
        match (by, by.and_then(Val::as_str)) {
            (_, Some(text)) => {
                self.charge(text.len())?;
                return Ok(Some(self.bucketing.hash_text(text)));
            }
            (Some(Val::Null), _) if self.bucketing == Bucketing::V3 => return Ok(None),
            (None | Some(Val::Null), _) => {}
            // Only `v3` hashes what is no text; to the others it is a part that is none.
            (Some(value), _) if self.bucketing == Bucketing::V3 => {
                let mut bytes = Vec::new();
                let written = self.encode(&mut bytes, value, DEPTH_MAX);
                self.charge(bytes.len())?;
                return Ok(written.map(|()| murmur3(&bytes)));
            }
            (Some(_), _) => return Ok(None),
        }
        let targeting_key = self.member(data, TARGETING_KEY);
        let Some(targeting_key) = targeting_key.as_ref().and_then(Val::as_str) else {
            return Ok(None);
        };
        let of_flagd = self
            .member(data, FLAGD)
            .and_then(|flagd| self.member(&flagd, "flagKey"));
        let flag_key = of_flagd.as_ref().and_then(Val::as_str).unwrap_or("");
        if targeting_key.is_empty() && self.bucketing != Bucketing::V1 {
            return Ok(None);
        }
        self.charge(targeting_key.len())?;
        Ok(Some(self.hash_pair(flag_key, targeting_key)))
    }

    fn hash_pair(&self, flag_key: &str, targeting_key: &str) -> u32 {
        if self.bucketing == Bucketing::V3 {
            let mut bytes = Vec::with_capacity(flag_key.len() + targeting_key.len() + 19);
            cbor::array(&mut bytes, 2);
            cbor::text(&mut bytes, flag_key);
            cbor::text(&mut bytes, targeting_key);
            return murmur3(&bytes);
        }
        murmur3([flag_key, targeting_key].concat().as_bytes())
    }

    fn encode(&self, out: &mut Vec<u8>, value: &Val<'a>, depth_left: usize) -> Option<()> {
        let below = depth_left.checked_sub(1)?;
        let member = |name: &'static str| {
            let mut bytes = Vec::new();
            let value = self.member(value, name).unwrap_or(Val::Null);
            self.encode(&mut bytes, &value, below).map(|()| (name, bytes))
        };
        match value {
            Val::Null => cbor::null(out),
            Val::Bool(bool) => cbor::boolean(out, *bool),
            Val::Num(number) => cbor::number(out, *number),
            Val::Str(text) => cbor::text(out, text),
            Val::Text(text) => cbor::text(out, text),
            Val::Slice(_) | Val::Items(_) => {
                let length = value.len().unwrap_or(0);
                cbor::array(out, length);
                for at in 0..length {
                    self.encode(out, &value.item(at)?, below)?;
                }
            }
            Val::Map(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| self.encode_member(name, value, below));
                cbor::map(out, members.collect::<Option<_>>()?);
            }
            Val::Context => {
                let attributes = self
                    .context
                    .attributes()
                    .iter()
                    .filter(|(name, _)| *name != FLAGD);
                let members = attributes.map(|(name, value)| self.encode_member(name, value, below));
                let mut members: Vec<_> = members.collect::<Option<_>>()?;
                members.push(member(FLAGD)?);
                cbor::map(out, members);
            }
            Val::Flagd => cbor::map(out, vec![member("flagKey")?, member("timestamp")?]),
            Val::Fold(_) => {
                let names = ["current", "accumulator", "valueType"];
                cbor::map(out, names.into_iter().map(member).collect::<Option<_>>()?);
            }
        }
        Some(())
    }

    fn encode_member<'n>(
        &self,
        name: &'n str,
        value: &'a Value,
        depth_left: usize,
    ) -> Option<(&'n str, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes, &Val::from(value), depth_left)?;
        Some((name, bytes))
    }
}

/// `v1` wants texts for variants, checks no weight, and gives the empty text to whoever falls behind the last part.
fn walk_v1<'a>(hash: u32, parts: &[Val<'a>]) -> Val<'a> {
    let mut weights = Vec::with_capacity(parts.len());
    for part in parts {
        match part.item(0) {
            Some(variant) if variant.as_str().is_some() => {}
            _ => return Val::Null,
        }
        weights.push(weight_v1(part.item(1).as_ref()));
    }
    let total = weights
        .iter()
        .fold(0_i64, |total, weight| total.wrapping_add(*weight));
    if total == 0 {
        return Val::Str("");
    }
    let at = Bucketing::V1.walk(hash, total, weights);
    at.and_then(|at| parts[at].item(0)).unwrap_or(Val::Str(""))
}
