//! codec: bytes in, messages out. A message is everything up to a NUL. Never does I/O, never keeps more than a limit.

/// The most bytes that one inbound message may have, unless a caller says otherwise.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the search for a NUL goes on.
    searched: usize,
    limit: usize,
    /// How many messages were handed out.
    taken: u64,
}

/// A message that does not end in time: the connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message may have at most {limit} bytes")]
pub struct TooLong {
    /// The limit.
    pub limit: usize,
}

impl Decoder {
    /// A decoder for messages of at most `limit` bytes without their NUL.
    pub fn new(limit: usize) -> Decoder {
        Decoder { buffer: Vec::new(), searched: 0, limit, taken: 0 }
    }
    /// Takes bytes in. The caller bounds memory by taking messages out before it feeds more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let tail = match bytes.iter().rposition(|&b| b == 0) {
            Some(at) => bytes.len() - at - 1,
            None => self.partial() + bytes.len(),
        };
        let head = bytes.iter().position(|&b| b == 0).map_or(0, |at| self.partial() + at);
        if tail > self.limit || head > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
    /// The next whole message without its NUL, with its number counted from 0.
    pub fn next_message(&mut self) -> Option<(u64, Result<Vec<u8>, TooLong>)> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = rest.iter().position(|&b| b == 0) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
        message.pop();
        self.searched = 0;
        let number = self.taken;
        self.taken += 1;
        let fits = message.len() <= self.limit;
        Some((number, if fits { Ok(message) } else { Err(TooLong { limit: self.limit }) }))
    }
    /// The number of the message that the byte fed last belongs to.
    pub fn last_number(&self) -> u64 {
        let ends = self.buffer.iter().filter(|&&b| b == 0).count() as u64;
        let whole = self.buffer.last() == Some(&0) || self.buffer.is_empty();
        (self.taken + ends).saturating_sub(u64::from(whole))
    }
    /// Whether bytes of an unfinished message wait.
    pub fn is_partial(&self) -> bool {
        self.partial() > 0
    }
    /// How many bytes are kept.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
    fn partial(&self) -> usize {
        let after = self.buffer.iter().rposition(|&b| b == 0).map_or(0, |at| at + 1);
        self.buffer.len() - after
    }
}
