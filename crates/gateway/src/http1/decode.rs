//! A body on its way in: how many of the bytes that come belong to it.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::framing::Refusal;
use crate::framing::chunk::Chunks;

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// Nothing: there was none, or it has ended.
    Ended,
    /// So many bytes, more than none.
    Length(u64),
    Chunked(Box<Chunks>),
    /// Whatever comes until the connection ends.
    Close,
}

impl Decoder {
    /// A body of this many bytes.
    pub(crate) const fn length(bytes: u64) -> Self {
        if bytes == 0 {
            Self::Ended
        } else {
            Self::Length(bytes)
        }
    }

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Bytes that are still to come, if that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self {
            Self::Ended => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// Takes the next bytes and adds what they carry to `data`; returns how many belong to the body, and the trailers
    /// if it has ended with some.
    ///
    /// # Errors
    /// [`Refusal`] with the rule that is broken.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(usize, Option<HeaderMap>), Refusal> {
        match self {
            Self::Ended => Ok((0, None)),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                data.extend_from_slice(&bytes[..taken]);
                *self = Self::length(*left - taken as u64);
                Ok((taken, None))
            }
            Self::Chunked(chunks) => {
                let taken = chunks.take(bytes, data)?;
                if !chunks.is_ended() {
                    return Ok((taken, None));
                }
                let Self::Chunked(chunks) = std::mem::replace(self, Self::Ended) else {
                    return Ok((taken, None));
                };
                Ok((taken, chunks.into_trailers()))
            }
            Self::Close => {
                data.extend_from_slice(bytes);
                Ok((bytes.len(), None))
            }
        }
    }

    /// As [`Self::take`], of bytes that are kept already: what they carry is not copied if that can be helped. What
    /// came before a broken rule is returned as well.
    pub(crate) fn take_kept(&mut self, kept: &mut BytesMut) -> (Bytes, Result<Option<HeaderMap>, Refusal>) {
        if let Self::Chunked(_) = self {
            let mut data = Vec::new();
            let taken = self.take(kept, &mut data);
            let trailers = taken.map(|(taken, trailers)| {
                drop_first(kept, taken);
                trailers
            });
            return (data.into(), trailers);
        }
        let taken = self.left().map_or(kept.len(), |left| {
            usize::try_from(left).unwrap_or(usize::MAX).min(kept.len())
        });
        if let Self::Length(left) = self {
            *self = Self::length(*left - taken as u64);
        }
        let data = if taken == kept.len() {
            std::mem::take(kept)
        } else {
            kept.split_to(taken)
        };
        (data.freeze(), Ok(None))
    }

    /// The connection has ended: whether that is where the body may end.
    pub(crate) fn may_end_here(&mut self) -> bool {
        if matches!(self, Self::Close) {
            *self = Self::Ended;
        }
        self.is_ended()
    }
}

/// Drops bytes that were taken; all of them, and their memory goes as well.
pub(crate) fn drop_first(kept: &mut BytesMut, taken: usize) {
    if taken == kept.len() {
        *kept = BytesMut::new();
    } else {
        drop(kept.split_to(taken));
    }
}

/// Keeps a head of `length` bytes that lies in `bytes`, and in `kept` what follows it.
pub(crate) fn keep_head(bytes: &[u8], length: usize, kept: &mut BytesMut) -> Bytes {
    if length == bytes.len() {
        return Bytes::copy_from_slice(bytes);
    }
    kept.extend_from_slice(bytes);
    kept.split_to(length).freeze()
}
