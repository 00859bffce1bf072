//! Rows of outcomes, and what they have to lead to.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a row of outcomes leads to, one letter each: `?` unknown, `!` unknown and shaky, `U` up, `s`
/// shaky, `D` down, `H` held. Outcomes are ten seconds apart: `+` good, `-` failed, `x` failed while
/// the prober is blind, `*` good then.
fn row(outcomes: &str, rules: Rules) -> String {
    let mut judgement = Judgement::default();
    let mut letters = String::new();
    for (at, outcome) in (0_u32..).zip(outcomes.chars()) {
        let (good, blind) = ("+*".contains(outcome), "x*".contains(outcome));
        judgement.take(good, blind, rules, at * 10 * SECOND);
        letters.push(match judgement.status() {
            Status { verdict: Verdict::Unknown, shaky: false } => '?',
            Status { verdict: Verdict::Unknown, shaky: true } => '!',
            Status { verdict: Verdict::Up, shaky: false } => 'U',
            Status { verdict: Verdict::Up, shaky: true } => 's',
            Status { verdict: Verdict::Down, .. } if judgement.is_held() => 'H',
            Status { verdict: Verdict::Down, .. } => 'D',
        });
    }
    letters
}

#[test]
fn rows_of_outcomes() {
    let check = |outcomes: &str, fall, rise, expect: &str| {
        let rules = Rules { fall, rise, flap: None };
        assert_eq!(row(outcomes, rules), expect, "{outcomes} fall {fall} rise {rise}");
    };
    assert_eq!(Judgement::default().status(), Status::default());
    // The first outcome decides.
    check("+", 3, 2, "U");
    check("-", 3, 2, "D");
    // Fall and rise, and what interrupts them.
    check("+---++", 3, 2, "UssDDU");
    check("+--+--+---", 3, 2, "UssssssssD");
    check("-+-++", 3, 2, "DDDDU");
    // Shaky until `rise` good ones in a row.
    check("+-++", 3, 2, "UssU");
    check("+-+-++", 4, 2, "UssssU");
    check("+-+++-", 3, 3, "UsssUs");
    // Thresholds of one.
    check("+-+-", 1, 1, "UDUD");
    check("+-+", 2, 1, "UsU");
}

#[test]
fn failures_of_a_blind_prober() {
    let check = |outcomes: &str, fall, rise, expect: &str| {
        let rules = Rules { fall, rise, flap: None };
        assert_eq!(row(outcomes, rules), expect, "{outcomes} fall {fall} rise {rise}");
    };
    // Nothing falls, and afterwards it takes `fall` fresh failures.
    check("+xxxxxx---", 3, 2, "UssssssssD");
    check("+xx++", 3, 2, "UsssU");
    check("+x-", 1, 1, "UsD");
    // What was down stays down, and comes up when it is good.
    check("-xx*x**", 3, 2, "DDDDDDU");
    // What is unknown stays so, until something is known.
    check("xx-", 3, 2, "!!D");
    check("xx++", 3, 2, "!!sU");
    check("x+", 3, 1, "!U");
}

#[test]
fn the_first_signs_of_a_blindness_are_forgotten() {
    let rules = Rules { fall: 3, rise: 2, flap: None };
    let mut judgement = Judgement::default();
    for good in [true, false, false] {
        judgement.take(good, false, rules, SECOND);
    }
    judgement.doubt();
    assert_eq!(judgement.status(), Status { verdict: Verdict::Up, shaky: true });
    for verdict in [Verdict::Up, Verdict::Up, Verdict::Down] {
        judgement.take(false, false, rules, SECOND);
        assert_eq!(judgement.status().verdict, verdict);
    }
}

#[test]
fn what_flaps_is_held() {
    let check = |outcomes: &str, changes, window: u32, hold: u32, expect: &str| {
        let flap = Flap { changes, window: window * SECOND, hold: hold * SECOND };
        let rules = Rules { fall: 1, rise: 1, flap: Some(flap) };
        assert_eq!(row(outcomes, rules), expect, "{outcomes} {flap:?}");
    };
    // The fourth change is one up, which does not happen; good from then on for 30 s.
    check("-+-+++++", 4, 600, 30, "DUDUUUUU");
    check("-+-+-++++", 4, 600, 30, "DUDUHHHHU");
    check("+-+-++++", 4, 600, 30, "UDUDHHHU");
    // A failure starts the hold anew.
    check("+-+-++-++++", 4, 600, 30, "UDUDHHHHHHU");
    // After a hold nothing is remembered.
    check("+-+-++++-+-", 4, 600, 30, "UDUDHHHUDUD");
    // What is longer ago than the window does not count.
    check("+-+++++++-+-", 4, 50, 30, "UDUUUUUUUDUD");
    // A hold that is no time.
    check("+-+-++", 4, 600, 0, "UDUDHU");
    // A blind prober's failures change nothing, and end no hold.
    check("+xxxx+-+-x++++", 4, 600, 30, "UssssUDUDDHHHU");
}

fn outcomes() -> impl Strategy<Value = Vec<(bool, bool, u64)>> {
    // Good, blind, seconds since the one before.
    prop::collection::vec((any::<bool>(), prop::bool::weighted(0.1), 0_u64..30), 1..120)
}

/// Whether a held target has been good for long enough, as the whole row says.
fn good_for(row: &[(bool, Duration)], rise: u32, hold: Duration) -> bool {
    let run: Vec<_> = row.iter().rev().take_while(|(good, _)| *good).collect();
    let (Some((_, latest)), Some((_, first))) = (run.first(), run.last()) else { return false };
    rise as usize <= run.len() && *first + hold <= *latest
}

proptest! {
    /// The state machine against what it has to say of the whole row at once.
    #[test]
    fn as_the_row_itself_says(
        outcomes in prop::collection::vec(any::<bool>(), 1..60),
        fall in 1_u32..6,
        rise in 1_u32..6,
    ) {
        let mut judgement = Judgement::default();
        let mut verdict = Verdict::Unknown;
        let rules = Rules { fall, rise, flap: None };
        for end in 1..=outcomes.len() {
            let so_far = &outcomes[..end];
            let latest = so_far[end - 1];
            judgement.take(latest, false, rules, Duration::ZERO);
            let run = so_far.iter().rev().take_while(|it| **it == latest).count();
            verdict = match (verdict, latest) {
                (Verdict::Unknown, true) => Verdict::Up,
                (Verdict::Unknown, false) => Verdict::Down,
                (Verdict::Up, false) if fall as usize <= run => Verdict::Down,
                (Verdict::Down, true) if rise as usize <= run => Verdict::Up,
                (same, _) => same,
            };
            prop_assert_eq!(judgement.status().verdict, verdict);
            // Up and shaky: there was a failure, and no `rise` good ones in a row since.
            let seen_failure = so_far.iter().any(|it| !it);
            let steady = latest && (rise as usize <= run || !seen_failure);
            prop_assert_eq!(judgement.status().shaky, verdict == Verdict::Up && !steady);
        }
    }

    /// With `flap`, never more changes in a window than it allows; held is down, and ends when the
    /// target has been good for long enough and not before.
    #[test]
    fn held_as_the_row_itself_says(
        outcomes in outcomes(),
        fall in 1_u32..4,
        rise in 1_u32..4,
        changes in 2_u32..6,
        window in 0_u64..300,
        hold in 0_u64..100,
    ) {
        let (window, hold) = (Duration::from_secs(window), Duration::from_secs(hold));
        let rules = Rules { fall, rise, flap: Some(Flap { changes, window, hold }) };
        let mut judgement = Judgement::default();
        let mut now = Duration::ZERO;
        let mut row = Vec::new();
        // When the verdict changed since the latest hold.
        let mut changed: Vec<Duration> = Vec::new();
        for (good, blind, after) in outcomes {
            now += Duration::from_secs(after);
            row.push((good, now));
            let (was_held, before) = (judgement.is_held(), judgement.status());
            judgement.take(good, blind, rules, now);
            let (is_held, after) = (judgement.is_held(), judgement.status());
            prop_assert!(!is_held || after.verdict == Verdict::Down);
            prop_assert!(!is_held || !after.shaky);
            if was_held {
                prop_assert_eq!(is_held, !(good && good_for(&row, rise, hold)));
                prop_assert!(is_held || after.verdict == Verdict::Up);
            }
            if is_held && !was_held {
                // It has to be good from here on.
                row = vec![(good, now)];
            }
            if is_held || was_held {
                changed.clear();
            } else if before.verdict != after.verdict && before.verdict != Verdict::Unknown {
                changed.push(now);
            }
            let recent = changed.iter().filter(|at| now <= **at + window).count();
            prop_assert!(recent < changes as usize, "{} changes, and not held", recent);
        }
    }

    /// Without `flap` nothing differs: neither from one that never comes to a hold, nor is anything
    /// remembered.
    #[test]
    fn without_flap_nothing_differs(outcomes in outcomes(), fall in 1_u32..4, rise in 1_u32..4) {
        let never = Flap { changes: u32::MAX, window: SECOND, hold: SECOND };
        let mut with = Judgement::default();
        let mut without = Judgement::default();
        for (good, blind, at) in outcomes {
            let now = Duration::from_secs(at);
            with.take(good, blind, Rules { fall, rise, flap: Some(never) }, now);
            without.take(good, blind, Rules { fall, rise, flap: None }, now);
            prop_assert_eq!(with.status(), without.status());
            prop_assert!(!without.is_held());
            prop_assert!(without.changes.is_empty());
        }
    }

    /// What a blind prober finds never takes anything out, and its end is no fall.
    #[test]
    fn blindness_takes_nothing_out(
        before in prop::collection::vec(any::<bool>(), 0..20),
        blind in prop::collection::vec(prop::bool::weighted(0.2), 1..20),
        fall in 1_u32..5,
        rise in 1_u32..5,
    ) {
        let rules = Rules { fall, rise, flap: None };
        let mut judgement = Judgement::default();
        for good in before {
            judgement.take(good, false, rules, SECOND);
        }
        judgement.doubt();
        let mut verdict = judgement.status().verdict;
        for good in &blind {
            judgement.take(*good, true, rules, SECOND);
            let next = judgement.status().verdict;
            prop_assert!(next == verdict || next == Verdict::Up, "{verdict} to {next}");
            prop_assert!(*good || next == Verdict::Down || judgement.status().shaky);
            verdict = next;
        }
        // `fall` fresh failures in a row, and not one less.
        for _ in 1..fall {
            judgement.take(false, false, rules, SECOND);
            prop_assert!(verdict != Verdict::Up || judgement.status().verdict == Verdict::Up);
        }
        judgement.take(false, false, rules, SECOND);
        prop_assert_eq!(judgement.status().verdict, Verdict::Down);
    }
}
