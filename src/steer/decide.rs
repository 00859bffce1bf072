//! The chooser: from a policy and the conditions of its endpoints to a decision.

use super::{Condition, Decision, Family, Footing, Outcome, Policy};

/// Runs the stages for one family. `conditions[pool][endpoint]` is as the policy is.
#[must_use]
pub fn decide(policy: &Policy, conditions: &[Vec<Condition>], family: Family) -> Decision {
    let _ = (policy, conditions, family);
    Decision { footing: Footing::Healthy, outcome: Outcome::NoData }
}
