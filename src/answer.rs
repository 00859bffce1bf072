//! The answer: from a question and a snapshot to a reply.
