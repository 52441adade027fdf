//! The judge.
//!
//! Everything Plimsoll knows about a service it learns from *outcomes*: what became of one event, and how long
//! it took. This crate holds the words ([`Outcome`], [`Reason`], [`Class`]), what is kept of them
//! ([`Tally`], [`Histogram`], [`Track`]), what is said of the bad ones ([`Problem`]), and who says whether an
//! [`Objective`] is met: a [`Judge`], in a [`Verdict`]. It is pure: no clock, no dice, no I/O, no runtime, no
//! dependency. Time is an argument ([`Instant`], [`Second`]).

mod budget;
mod burn;
mod callers;
mod change_point;
mod comparison;
mod composite;
mod correction;
mod evidence;
mod fall;
mod forecast;
mod freshness;
mod histogram;
mod judge;
mod ladder;
mod lift;
mod lint;
mod minute;
mod objective;
mod outcome;
mod problem;
mod reason;
mod rise;
mod slices;
mod suspicion;
mod tally;
mod target;
mod time;
mod track;
mod verdict;
mod weighing;
mod what_if;

pub use budget::{Allowance, Budget, Rate, time_left};
pub use burn::{BurnRule, Burning, Phase, Severity};
pub use callers::{CallerSet, Callers};
pub use comparison::{
    Arm, Comparison, Epoch, Finding, KeySlots, SLOTS, SLOW, Seen, Sign, SlotSet, Terms, Weighed, beyond,
    failures_left,
};
pub use correction::{Corrected, Correction};
pub use evidence::{Evidence, ROUND};
pub use fall::{FALL_LOOKS_BACK, Falling, Measure};
pub use freshness::{Fresh, Freshness, FreshnessReading, WAITING_MAX};
pub use histogram::{Histogram, HistogramSnapshot};
pub use judge::{Judge, Period};
pub use ladder::{Ladder, Rung};
pub use lift::{Lift, stand_out};
pub use lint::Doubt;
pub use minute::{FailedAt, HappenedAt, MinuteLog, SecondLog};
pub use objective::{Budgeting, Empty, Objective, Slice, Window};
pub use outcome::{Class, Outcome, blames_caller, classify_grpc, classify_http};
pub use problem::Problem;
pub use reason::{Blame, Delivered, Reason, ReasonInfo, RetrySafety};
pub use rise::{Rising, USUAL_AFTER, USUAL_OVER};
pub use tally::{Tally, TallySnapshot};
pub use target::{Target, TargetError};
pub use time::Instant;
pub use track::{Counts, STEP_MAX, Second, Sum, Track};
pub use verdict::{State, Verdict};
pub use weighing::EvidenceMark;
pub use what_if::WhatIf;
