//! Messages of a call out of the pieces of its body: a flag, a length of four bytes, and that many bytes.
//!
//! A message that lies whole in a piece is judged where it lies. One that comes in several pieces is gathered, up to the
//! bound, and nothing of it goes on before it is whole.

/// Flag and length.
pub const PREFIX_BYTES: usize = 5;
/// What is kept of the room for messages that come in pieces.
const KEPT_BYTES: usize = 64 * 1024;

/// Why what came are no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("expected a flag of 0 or 1 ahead of a message")]
    Flag,
    #[error("the body ends in the middle of a message")]
    Truncated,
    #[error("larger than what is read")]
    Large,
}

/// One message, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// It came in several pieces, and lies in [`Framing::whole`].
    gathered: bool,
    start: usize,
    end: usize,
    pub compressed: bool,
}

#[derive(Debug)]
pub struct Framing {
    most: usize,
    /// What there is of a message.
    part: Vec<u8>,
    /// One that became whole with the last piece, its prefix included.
    whole: Vec<u8>,
    /// How much of `part` came in earlier pieces.
    carried: usize,
}

impl Framing {
    /// `most`: bytes of a message as it was sent.
    #[must_use]
    pub fn new(most: usize) -> Framing {
        Framing { most, part: Vec::new(), whole: Vec::new(), carried: 0 }
    }

    /// To be called with each new piece.
    pub fn begin(&mut self) {
        self.carried = self.part.len();
        self.whole.clear();
        if self.whole.capacity() > KEPT_BYTES {
            self.whole = Vec::new();
        }
    }

    /// The next message, with `at` behind it; None: the rest of the piece is kept.
    ///
    /// # Errors
    /// Why there is none: nothing behind it can be told apart any more.
    pub fn next(&mut self, piece: &[u8], at: &mut usize) -> Result<Option<Frame>, Fault> {
        if self.part.is_empty() {
            let rest = &piece[*at..];
            let Some(prefix) = rest.first_chunk::<PREFIX_BYTES>() else {
                if let Some(flag) = rest.first() {
                    flagged(*flag)?;
                }
                self.part.extend_from_slice(rest);
                *at = piece.len();
                return Ok(None);
            };
            let (compressed, length) = self.prefix(prefix)?;
            let Some(end) = Some(PREFIX_BYTES + length).filter(|length| *length <= rest.len()) else {
                self.part.extend_from_slice(rest);
                *at = piece.len();
                return Ok(None);
            };
            let frame = Frame { gathered: false, start: *at, end: *at + end, compressed };
            *at += end;
            return Ok(Some(frame));
        }
        self.fill(PREFIX_BYTES, piece, at);
        let Some(prefix) = self.part.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let (compressed, length) = self.prefix(prefix)?;
        let end = PREFIX_BYTES + length;
        self.fill(end, piece, at);
        if self.part.len() < end {
            return Ok(None);
        }
        std::mem::swap(&mut self.part, &mut self.whole);
        self.part.clear();
        Ok(Some(Frame { gathered: true, start: 0, end, compressed }))
    }

    fn fill(&mut self, wanted: usize, piece: &[u8], at: &mut usize) {
        let missing = wanted.saturating_sub(self.part.len()).min(piece.len() - *at);
        self.part.extend_from_slice(&piece[*at..*at + missing]);
        *at += missing;
    }

    fn prefix(&self, &[flag, a, b, c, d]: &[u8; PREFIX_BYTES]) -> Result<(bool, usize), Fault> {
        let compressed = flagged(flag)?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.most { Err(Fault::Large) } else { Ok((compressed, length)) }
    }

    /// The bytes of a message, without its prefix.
    #[must_use]
    pub fn bytes<'a>(&'a self, frame: &Frame, piece: &'a [u8]) -> &'a [u8] {
        let within = if frame.gathered { &self.whole } else { piece };
        &within[frame.start + PREFIX_BYTES..frame.end]
    }

    /// What came in earlier pieces of a message that is whole now, its prefix included: goes on ahead of the piece.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Gives up: what earlier pieces left becomes [`Framing::whole`].
    pub fn lose(&mut self) {
        if self.whole.is_empty() {
            self.part.truncate(self.carried);
            std::mem::swap(&mut self.part, &mut self.whole);
        }
        self.part.clear();
    }

    /// What there is of a message that is not whole.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        &self.part
    }
}

fn flagged(flag: u8) -> Result<bool, Fault> {
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Flag),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            out.push(u8::from(message.len() % 3 == 0));
            out.extend((message.len() as u32).to_be_bytes());
            out.extend(message);
        }
        out
    }

    /// Messages, and all that went on, of a body in pieces.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<Vec<u8>>, Vec<u8>), Fault> {
        let mut framing = Framing::new(1000);
        let (mut messages, mut on) = (Vec::new(), Vec::new());
        for piece in pieces {
            framing.begin();
            let (mut at, mut good, mut begun) = (0, 0, 0);
            while let Some(frame) = framing.next(piece, &mut at)? {
                messages.push(framing.bytes(&frame, piece).to_vec());
                if frame.gathered {
                    begun = at;
                }
                good = at;
            }
            on.extend_from_slice(framing.whole());
            on.extend_from_slice(&piece[begun..good.max(begun)]);
        }
        if framing.part().is_empty() { Ok((messages, on)) } else { Err(Fault::Truncated) }
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_its_messages_are_the_same(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in prop::collection::vec(1usize..60, 0..30),
        ) {
            let body = framed(&messages);
            let (mut pieces, mut rest) = (Vec::new(), &body[..]);
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            pieces.push(rest);
            let (read, on) = read(&pieces).unwrap();
            prop_assert_eq!(read, messages);
            prop_assert_eq!(on, body);
        }

        #[test]
        fn whatever_comes_is_told_alike_however_it_is_cut(
            body in prop::collection::vec(prop_oneof![4 => 0_u8..3, 1 => any::<u8>()], 0..80),
            size in 1_usize..20,
        ) {
            prop_assert_eq!(read(&body.chunks(size).collect::<Vec<_>>()), read(&[&body]));
        }
    }

    #[test]
    fn a_length_above_the_bound_is_refused_with_its_prefix() {
        assert_eq!(read(&[&[0, 0, 0, 3, 0xe9]]), Err(Fault::Large));
        assert_eq!(read(&[&[0, 0, 0], &[3, 0xe9]]), Err(Fault::Large));
        assert_eq!(read(&[&[0, 0, 0, 3, 0xe8]]), Err(Fault::Truncated));
    }

    #[test]
    fn a_flag_that_does_not_exist_is_refused_with_its_byte() {
        assert_eq!(read(&[&[0x80]]), Err(Fault::Flag));
        assert_eq!(read(&[&[2, 0, 0, 0, 0]]), Err(Fault::Flag));
    }
}
