//! The files as they are written, and complaints about them.
