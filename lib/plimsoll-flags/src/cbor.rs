//! Deterministic CBOR (RFC 8949, 4.2.1), as far as JSON goes: what `v3` hashes.
//!
//! Every length, integer and float is as short as it can be, and members of an object are in the order of their
//! encoded keys. A number without a fraction is an integer where 64 bits hold it, whichever way it was written, and
//! both zeros are 0.

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const HALF: u8 = 0xf9;
const SINGLE: u8 = 0xfa;
const DOUBLE: u8 = 0xfb;

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend([major | 0x18, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend((argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 0x1b);
            out.extend(argument.to_be_bytes());
        }
    }
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.push(NULL);
}

pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend(text.as_bytes());
}

/// Begins an array of that many items, which follow.
pub(crate) fn array(out: &mut Vec<u8>, items: usize) {
    head(out, ARRAY, items as u64);
}

/// An object, of members that are encoded already: the key's text, and the value's bytes.
pub(crate) fn map(out: &mut Vec<u8>, mut members: Vec<(&str, Vec<u8>)>) {
    // A shorter key has the smaller head, so the order of encoded keys is by length first.
    members.sort_by_key(|(key, _)| (key.len(), *key));
    head(out, MAP, members.len() as u64);
    for (key, value) in members {
        text(out, key);
        out.extend(value);
    }
}

pub(crate) fn number(out: &mut Vec<u8>, value: f64) {
    const TWO_64: f64 = 18_446_744_073_709_551_616.0;
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && (0.0..TWO_64).contains(&value) {
        head(out, UNSIGNED, value as u64);
    } else if value.fract() == 0.0 && (-TWO_63..0.0).contains(&value) {
        head(out, NEGATIVE, !(value as i64).cast_unsigned());
    } else {
        float(out, value);
    }
}

fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend([HALF, 0x7e, 0x00]);
        return;
    }
    let single = value as f32;
    if f64::from(single).to_bits() != value.to_bits() {
        out.push(DOUBLE);
        out.extend(value.to_be_bytes());
    } else if let Some(half) = half(single) {
        out.push(HALF);
        out.extend(half.to_be_bytes());
    } else {
        out.push(SINGLE);
        out.extend(single.to_be_bytes());
    }
}

/// The bits of the half-precision float of the same value, if there is one.
fn half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = ((bits >> 23) & 0xff).cast_signed() - 127;
    let fraction = bits & 0x7f_ffff;
    let magnitude = match exponent {
        _ if bits << 1 == 0 => 0,
        128 if fraction == 0 => 0x7c00,
        -14..=15 if fraction.trailing_zeros() >= 13 => {
            (((exponent + 15).cast_unsigned() << 10) | (fraction >> 13)) as u16
        }
        // Below that, a half has no implied leading bit, and counts 2⁻²⁴ths.
        -24..=-15 => {
            let whole = fraction | 0x80_0000;
            let shift = (-1 - exponent).cast_unsigned();
            (whole.trailing_zeros() >= shift).then(|| (whole >> shift) as u16)?
        }
        _ => return None,
    };
    Some(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        out.iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    /// The examples of RFC 8949, appendix A, and the edges of our own rule for integers.
    #[test]
    fn numbers() {
        for (value, encoded) in [
            (0.0, "00"),
            (-0.0, "00"),
            (1.0, "01"),
            (23.0, "17"),
            (24.0, "1818"),
            (255.0, "18ff"),
            (256.0, "190100"),
            (1_000_000.0, "1a000f4240"),
            (1_000_000_000_000.0, "1b000000e8d4a51000"),
            (-1.0, "20"),
            (-10.0, "29"),
            (-100.0, "3863"),
            (-1_000.0, "3903e7"),
            (1.1, "fb3ff199999999999a"),
            (1.5, "f93e00"),
            (100_000.5, "fa47c35040"),
            (3.402_823_466_385_288_6e38, "fa7f7fffff"),
            (1e300, "fb7e37e43c8800759c"),
            (5.960_464_477_539_063e-8, "f90001"),
            (0.000_061_035_156_25, "f90400"),
            (-4.1, "fbc010666666666666"),
            (18_446_744_073_709_551_616.0, "fa5f800000"),
            (18_446_744_073_709_549_568.0, "1bfffffffffffff800"),
            (-9_223_372_036_854_775_808.0, "3b7fffffffffffffff"),
            (f64::INFINITY, "f97c00"),
            (f64::NEG_INFINITY, "f9fc00"),
            (f64::NAN, "f97e00"),
        ] {
            assert_eq!(hex(|out| number(out, value)), encoded, "{value}");
        }
    }

    #[test]
    fn every_half_is_found() {
        for bits in 0..0x7c00_u16 {
            let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
            let value = match exponent {
                0 => fraction * (-24.0_f64).exp2(),
                _ => (1024.0 + fraction) * f64::from(exponent - 25).exp2(),
            };
            assert_eq!(half(value as f32), Some(bits), "{value}");
            assert_eq!(half(-value as f32), Some(bits | 0x8000), "{value}");
        }
        for value in [1.001_f32, 65_520.0, 2.0_f32.powi(-25), 0.1] {
            assert_eq!(half(value), None, "{value}");
        }
    }

    #[test]
    fn texts_and_containers() {
        assert_eq!(hex(|out| text(out, "")), "60");
        assert_eq!(hex(|out| text(out, "IETF")), "6449455446");
        assert_eq!(hex(|out| text(out, "\u{fc}")), "62c3bc");
        assert_eq!(hex(|out| array(out, 25)), "9819");
        let members = vec![("b", vec![0x01]), ("aa", vec![0x02]), ("a", vec![NULL])];
        assert_eq!(hex(|out| map(out, members)), "a36161f661620162616102");
        assert_eq!(hex(|out| boolean(out, true)) + &hex(null), "f5f6");
    }
}
