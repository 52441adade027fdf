//! A straight line through points, by least squares: how much of a change of one thing shows in another.

/// Points so far, as sums. Adding one is four additions and three multiplications.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Fit {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    /// The same points about their own middle. Several of these can be put together without what lies between them:
    /// only what varies within each counts.
    #[must_use]
    pub(super) fn centred(self) -> Self {
        let count = self.count.max(1.0);
        Self {
            count: self.count,
            x: 0.0,
            y: 0.0,
            xx: (self.xx - self.x * self.x / count).max(0.0),
            xy: self.xy - self.x * self.y / count,
            yy: (self.yy - self.y * self.y / count).max(0.0),
        }
    }

    /// These points, and `other` ones that count for so much.
    #[must_use]
    pub(super) fn with(self, other: Self, weight: f64) -> Self {
        Self {
            count: self.count + weight * other.count,
            x: self.x + weight * other.x,
            y: self.y + weight * other.y,
            xx: self.xx + weight * other.xx,
            xy: self.xy + weight * other.xy,
            yy: self.yy + weight * other.yy,
        }
    }

    /// The slope, if its standard error is at most `error_max`.
    pub(super) fn slope(self, error_max: f64) -> Option<f64> {
        let centred = self.centred();
        if self.count < 3.0 || centred.xx <= 0.0 {
            return None;
        }
        let slope = centred.xy / centred.xx;
        let rest = (centred.yy - slope * centred.xy).max(0.0);
        let error = (rest / (self.count - 2.0) / centred.xx).sqrt();
        (error <= error_max).then_some(slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_is_owned_up_to() {
        let mut line = Fit::default();
        (0..10).for_each(|x| line.add(f64::from(x), 3.0 - 0.5 * f64::from(x)));
        assert!((line.slope(1e-6).unwrap() + 0.5).abs() < 1e-9);
        let mut noise = Fit::default();
        (0..10).for_each(|x| noise.add(f64::from(x), f64::from(x % 2) * 10.0));
        assert_eq!(noise.slope(0.2), None);
        let mut upright = Fit::default();
        (0..10).for_each(|y| upright.add(1.0, f64::from(y)));
        assert_eq!(upright.slope(f64::MAX), None, "nothing has varied");
    }

    #[test]
    fn what_lies_between_two_groups_does_not_count_once_they_are_centred() {
        // Flat twice, at two heights: a line through all of it rises, and none of it does.
        let group = |x: f64, y: f64| {
            let mut fit = Fit::default();
            (0..10).for_each(|i| fit.add(x + f64::from(i), y));
            fit
        };
        let (low, high) = (group(0.0, 0.0), group(20.0, 20.0));
        assert!(low.with(high, 1.0).slope(1.0).unwrap() > 0.9);
        assert!(low.centred().with(high.centred(), 1.0).slope(1.0).unwrap().abs() < 1e-9);
    }
}
