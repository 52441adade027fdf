//! How far a WebSocket is within its frames (RFC 6455 §5.2), and how it is ended between two of them.
//!
//! Bytes pass as they are. Only the heads of frames are looked at, so that a Close frame of our own can be put where
//! one may stand: when the process ends, both sides then hear that it goes away (1001), and not that the network broke.
//! Extensions change nothing here: they are about payloads, and Close frames are never compressed.

use plimsoll_policy::Dice;

/// Bytes of the longest head: two, eight of length, four of mask.
const HEAD_MAX: usize = 14;

const CLOSE: u8 = 8;

/// "Going away": the server is shutting down (RFC 6455 §7.4.1).
const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();

/// One direction of a WebSocket. See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD_MAX],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of the payload that are to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Bytes have passed.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.left.min(bytes.len() as u64);
            self.left -= skipped;
            // No more than there are.
            bytes = &bytes[skipped as usize..];
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            self.end_head();
        }
    }

    fn end_head(&mut self) {
        if self.have < 2 {
            return;
        }
        let short = self.head[1] & 0x7f;
        let more = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = self.head[1] & 0x80 != 0;
        if self.have < 2 + more + if masked { 4 } else { 0 } {
            return;
        }
        self.left = match more {
            0 => short.into(),
            more => self.head[2..2 + more]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.closed |= self.head[0] & 0x0f == CLOSE;
        self.have = 0;
    }

    /// Whether a frame may stand here.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether a Close frame has passed: no other may follow.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A Close frame to a client.
pub(crate) fn close_to_client() -> Vec<u8> {
    [&[0x80 | CLOSE, 2], &GOING_AWAY[..]].concat()
}

/// A Close frame to a server, masked as everything that goes there.
pub(crate) fn close_to_server(dice: &mut impl Dice) -> Vec<u8> {
    let mask = (dice.roll() as u32).to_be_bytes();
    let masked = [GOING_AWAY[0] ^ mask[0], GOING_AWAY[1] ^ mask[1]];
    [&[0x80 | CLOSE, 0x80 | 2], &mask[..], &masked].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a payload of this length, and its mask if it has one.
    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..0x1_0000 => {
                frame.push(mask | 0x7e);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([0x88; 4]);
        }
        // What would be a Close frame if it were taken for a head.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn the_ends_of_frames_are_found_however_they_are_cut() {
        for masked in [false, true] {
            let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
            let sent: Vec<Vec<u8>> = lengths.iter().map(|length| frame(2, *length, masked)).collect();
            let whole = sent.concat();
            for piece in [1, 2, 3, 7, 4096, whole.len()] {
                let (mut frames, mut at, mut ends) = (Frames::default(), 0, Vec::new());
                for bytes in whole.chunks(piece) {
                    frames.pass(bytes);
                    at += bytes.len();
                    if frames.is_between() {
                        ends.push(at);
                    }
                }
                assert!(!frames.is_closed(), "payloads are not looked at");
                assert_eq!(ends.last(), Some(&whole.len()));
                if piece == 1 {
                    assert_eq!(ends.len(), sent.len());
                }
            }
        }
    }

    #[test]
    fn a_close_is_noticed_and_ours_is_one() {
        let mut frames = Frames::default();
        frames.pass(&frame(9, 4, false));
        assert!(!frames.is_closed());
        frames.pass(&close_to_client());
        assert!(frames.is_closed() && frames.is_between());
        let (mut frames, mut dice) = (Frames::default(), plimsoll_policy::SeededDice::new(1));
        let close = close_to_server(&mut dice);
        frames.pass(&close);
        assert!(frames.is_closed() && frames.is_between());
        let payload = [close[6] ^ close[2], close[7] ^ close[3]];
        assert_eq!(u16::from_be_bytes(payload), 1001);
    }
}
