//! What speaks, minute by minute, for something having come to a certain level, and since when.

/// Minutes of 30 days: after so many evidence begins anew, in what is promised of it.
const ROUND: f64 = 43_200.0;
/// Evidence beyond what is needed is forgotten, so that it is gone soon after what it spoke for is.
const CEILING: f64 = 1e6;

/// What suffices, so that it does so by chance at any time of 30 days with a probability of at most `alpha`.
pub(crate) fn needed(alpha: f64) -> f64 {
    ROUND / alpha.clamp(1e-9, 1.0)
}

/// See the module's header: `R ← (1 + R) × likelier`, of Shiryaev and Roberts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Suspicion {
    pub(crate) evidence: f64,
    /// The sum of what speaks for it since it last spoke against it (Page, "Continuous inspection schemes", 1954), and
    /// since when.
    sum: f64,
    pub(crate) began: Option<u64>,
}

impl Suspicion {
    /// A minute in which what happened was so much likelier than by chance, as a logarithm.
    pub(crate) fn weigh(&mut self, minute: u64, likelier: f64, needed: f64) {
        self.evidence = ((1.0 + self.evidence) * likelier.exp()).min(needed * CEILING);
        let sum = (self.sum + likelier).min((needed * CEILING).ln());
        self.began = (sum > 0.0).then(|| self.began.unwrap_or(minute));
        self.sum = sum.max(0.0);
    }
}

/// What several suspicions of one thing come to, over what is needed, and when that began which the strongest speaks for:
/// that is known once it suffices.
pub(crate) fn together(suspicions: &[Suspicion], needed: f64) -> (f64, Option<u64>) {
    let sum: f64 = suspicions.iter().map(|suspicion| suspicion.evidence).sum();
    let evidence = sum / suspicions.len().max(1) as f64 / needed;
    let strongest = suspicions.iter().max_by(|a, b| a.evidence.total_cmp(&b.evidence));
    let began = strongest.and_then(|suspicion| suspicion.began);
    (evidence, began.filter(|_| evidence >= 1.0))
}
