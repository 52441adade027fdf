//! Nothing panics, and the simulation itself comes to its end.

use crate::Run;

pub(super) fn check(run: &Run) -> Vec<String> {
    run.panics.clone()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::good;
    use super::check;
    use crate::trace::Kind;

    #[test]
    fn a_panic_is_a_breach() {
        let mut run = good(Kind::Get);
        assert_eq!(check(&run), [""; 0]);
        run.panics.push("index out of bounds".to_owned());
        assert_eq!(check(&run).len(), 1);
    }
}
