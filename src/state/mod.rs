//! State: what is known now, how a change alters it, and the only writer of the snapshot.
