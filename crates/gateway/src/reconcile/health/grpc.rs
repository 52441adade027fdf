//! The messages of the gRPC health checking protocol, `grpc.health.v1.Health/Check`.
//!
//! They have one field each, so they are written and read by hand: protobuf's wire format is a few lines here, and a
//! code generator would be a dependency. Sources: "GRPC Health Checking Protocol", "gRPC over HTTP2", and "Encoding"
//! in protobuf's own documentation.

use bytes::{BufMut, Bytes};

/// Where it is asked.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Kinds of fields on the wire.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A frame with a `HealthCheckRequest` for `service`; empty is the server as a whole.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        varint(1 << 3 | BYTES, &mut message);
        varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.put_u32(message.len() as u32);
    frame.extend(message);
    frame.into()
}

/// Whether `frames` is one frame, not compressed, with a `HealthCheckResponse` that says `SERVING`.
pub(super) fn is_serving(frames: &[u8]) -> bool {
    let Some((&[0, a, b, c, d], message)) = frames.split_first_chunk() else {
        return false;
    };
    message.len() == u32::from_be_bytes([a, b, c, d]) as usize && status(message) == Some(SERVING)
}

/// Field 1 of a message, 0 if it has none; fields that we do not know are passed over. `None` if it is no message.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let length = match key & 7 {
            VARINT => {
                let value = take_varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            FIXED64 => 8,
            BYTES => take_varint(&mut message)?,
            FIXED32 => 4,
            _ => return None,
        };
        message = message.get(usize::try_from(length).ok()?..)?;
    }
    Some(status)
}

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// At most ten bytes of seven bits each, the lowest first.
fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_the_service() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn only_serving_is_well() {
        let framed = |message: &[u8]| [&[0, 0, 0, 0, message.len() as u8], message].concat();
        assert!(is_serving(&framed(&[8, 1])));
        for other in [&[][..], &[8, 0], &[8, 2], &[8, 3], &[8, 1, 8, 2], &[16, 1]] {
            assert!(!is_serving(&framed(other)), "{other:?}");
        }
        // Fields that a later version may have.
        let later = [
            0x12, 2, b'o', b'k', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1,
        ];
        assert!(is_serving(&framed(&later)));
    }

    #[test]
    fn what_is_no_message_is_not_well() {
        for broken in [
            &[][..],
            &[0, 0, 0, 0],
            // Compressed, cut short, two frames.
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1],
            // A number that does not end, a length beyond the end, a kind that does not exist.
            &[0, 0, 0, 0, 2, 8, 0x80],
            &[0, 0, 0, 0, 4, 8, 1, 0x12, 9],
            &[0, 0, 0, 0, 3, 8, 1, 0x0f],
        ] {
            assert!(!is_serving(broken), "{broken:?}");
        }
        let endless = [&[0, 0, 0, 0, 12, 8][..], &[0xff; 11]].concat();
        assert!(!is_serving(&endless));
    }
}
