//! Packets that are no good questions: seeded, bounded, and as unpleasant as we can make them.
//!
//! *Not here:* sending them (`malformed`).

use evenkeel::dice::Roll;

/// A source of packets; the same seed gives the same packets.
pub(crate) struct Garbage(Roll);

/// Good questions to start from: with EDNS, with a client subnet, for many types and names.
const SEEDS: &[&[u8]] = &[
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01",
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03txt\x07example\x03com\0\0\x10\0\x01\
      \0\0\x29\x04\xd0\0\0\x80\0\0\0",
    b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x03www\x07example\x03com\0\0\x1c\0\x01\
      \0\0\x29\x10\0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\xc0\0\x02",
    b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x01a\x01b\x01c\x01d\x01e\x07example\x03com\0\0\xff\0\x01",
    b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x05chain\x07example\x03com\0\0\x0f\0\x01",
    b"\x12\x34\x28\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x06\0\x01",
];

impl Garbage {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Roll(seed))
    }

    /// The next packet, of at most 600 octets.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => self.noise(),
            1 => self.header_and_noise(),
            2 => self.labels(),
            3 => self.options(),
            _ => self.mutant(),
        }
    }

    fn below(&mut self, len: usize) -> usize {
        usize::try_from(self.0.below(len as u64)).expect("below a usize")
    }

    fn octet(&mut self) -> u8 {
        self.0.bits().to_le_bytes()[0]
    }

    /// Octets without any sense.
    fn noise(&mut self) -> Vec<u8> {
        (0..self.below(600)).map(|_| self.octet()).collect()
    }

    /// A question's header, and behind it octets without any sense.
    fn header_and_noise(&mut self) -> Vec<u8> {
        let mut packet = self.seed()[..12].to_vec();
        let noise = self.noise();
        packet.extend_from_slice(&noise[..noise.len().min(588)]);
        packet
    }

    /// A name of labels that are too long, too many, or point somewhere.
    fn labels(&mut self) -> Vec<u8> {
        let mut packet = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0".to_vec();
        for _ in 0..self.below(130) {
            if self.below(20) == 0 {
                packet.extend([0xC0 | self.octet(), self.octet()]);
            }
            let len = [1, 1, 1, 2, 63, 64, 191][self.below(7)];
            packet.push(len);
            for _ in 0..self.below(usize::from(len) + 1).min(63) {
                packet.push(self.octet());
            }
            if 500 < packet.len() {
                break;
            }
        }
        packet.extend(b"\0\0\x01\0\x01");
        packet
    }

    /// A good question with an OPT record whose options are not.
    fn options(&mut self) -> Vec<u8> {
        let mut packet = SEEDS[0].to_vec();
        packet[11] = 1;
        packet.extend(b"\0\0\x29");
        packet.extend([self.octet(), self.octet(), 0, [0, 0, 0, 1][self.below(4)]]);
        packet.extend([self.octet(), 0]);
        let mut options = Vec::new();
        for _ in 0..self.below(6) {
            let len = self.below(24);
            options.extend([0, [8, 8, 3, 10, 15][self.below(5)]]);
            // Now and then the length is not that of what follows.
            let said = if self.below(4) == 0 { self.octet() } else { u8::try_from(len).unwrap() };
            options.extend([0, said]);
            options.extend((0..len).map(|_| self.octet() & self.octet()));
        }
        let said = if self.below(4) == 0 { self.below(300) } else { options.len() };
        packet.extend(u16::try_from(said).unwrap().to_be_bytes());
        packet.extend(options);
        packet
    }

    /// A good question with octets changed, cut off, put in or said twice.
    fn mutant(&mut self) -> Vec<u8> {
        let mut packet = self.seed().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(packet.len().max(1));
            match self.below(6) {
                0 => packet.truncate(at),
                1 => packet.insert(at.min(packet.len()), self.octet()),
                2 => packet.extend_from_within(at..),
                // The counts of the sections, which say how much to read.
                3 if 12 <= packet.len() => packet[4 + at % 8] = self.octet() & self.octet(),
                _ if at < packet.len() => packet[at] = self.octet(),
                _ => {}
            }
        }
        packet.truncate(600);
        packet
    }

    fn seed(&mut self) -> &'static [u8] {
        SEEDS[self.below(SEEDS.len())]
    }
}
