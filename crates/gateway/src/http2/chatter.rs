//! Frames that ask for nothing.
//!
//! A PING or SETTINGS must be answered, a PRIORITY or an unknown frame must be read, and none of them costs its sender
//! more than its few bytes (CVE-2019-9512, CVE-2019-9515). h2 bounds what it remembers of them, not how many it works
//! off. So they are counted as they are read: those that come one after the other with no head and no data between.
//! Real peers send a few a second, and more only beside data (gRPC measures its way by a PING for each piece).
//!
//! WINDOW_UPDATE is not counted, since whoever only reads may send one for every few bytes, nor RST_STREAM, which h2
//! bounds.

const FRAME_HEAD: usize = 9;

/// Follows the frames of one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Chatter {
    /// Bytes of the preface or of a frame's payload that are still to come.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of `head` that are there.
    known: usize,
    /// Since the last head or piece of data.
    idle: u32,
}

impl Chatter {
    /// Begins before a caller's preface of so many bytes.
    pub(super) fn behind(preface: usize) -> Self {
        Self {
            skip: preface,
            ..Self::default()
        }
    }

    /// Takes in what was read; returns how many idle frames there have been in a row.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> u32 {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == FRAME_HEAD {
                self.known = 0;
                self.frame();
            }
        }
        self.idle
    }

    /// Forgets what was counted.
    pub(super) fn forgive(&mut self) {
        self.idle = 0;
    }

    fn frame(&mut self) {
        const DATA: u8 = 0x0;
        const HEADERS: u8 = 0x1;
        const RST_STREAM: u8 = 0x3;
        const WINDOW_UPDATE: u8 = 0x8;
        const CONTINUATION: u8 = 0x9;
        let [high, middle, low, kind, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            // h2 bounds data that are empty, and heads that do not end.
            DATA | HEADERS => self.idle = 0,
            RST_STREAM | WINDOW_UPDATE | CONTINUATION => {}
            _ => self.idle = self.idle.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        // What would be frames itself, if it were read as such.
        frame.resize(FRAME_HEAD + payload, 6);
        frame
    }

    #[test]
    fn only_frames_that_ask_for_nothing_count_in_whatever_pieces_they_come() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let kinds = [(4, 0), (6, 8), (2, 5), (8, 4), (3, 4), (0xfa, 70_000), (9, 100)];
        let mut bytes = preface.clone();
        for (kind, payload) in kinds {
            bytes.extend(frame(kind, payload));
        }
        for size in [1, 2, 7, 9, 4096, bytes.len()] {
            let mut chatter = Chatter::behind(preface.len());
            let mut idle = 0;
            for piece in bytes.chunks(size) {
                idle = chatter.read(piece);
            }
            assert_eq!(
                idle, 4,
                "SETTINGS, PING, PRIORITY and one unknown, in pieces of {size}"
            );
        }
    }

    #[test]
    fn a_head_or_data_begin_anew() {
        for kind in [0, 1] {
            let mut chatter = Chatter::default();
            assert_eq!(chatter.read(&frame(6, 8).repeat(9)), 9);
            assert_eq!(chatter.read(&frame(kind, 3)), 0);
            assert_eq!(chatter.read(&frame(6, 8)), 1);
            chatter.forgive();
            assert_eq!(chatter.read(&frame(6, 8)), 1);
        }
    }
}
