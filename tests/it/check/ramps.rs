//! A case per kind of complaint about `ramp` and `eject_max`, and what they become.

use std::time::Duration;

use super::{
    complaints::{check_server, check_steer},
    load,
};

const US: &str = "pools: { us: { A: 192.0.2.1 } }";

#[test]
fn ramps() {
    let check = |ramp: &str, expect: &[&str]| {
        check_steer(&format!("ramp: {ramp}\n{US}"), expect);
    };
    for good in ["none", "{}", "{ every: 30s }", "{ steps: [1%, 99%, 100%] }"] {
        check(good, &[]);
    }
    check(
        "slowly",
        &[
            "6:13: `ramp` can not be `slowly` | write `{ steps: [5%, 25%, 50%, 100%], every: 1m }`, or `none`",
        ],
    );
    check("[5%]", &["6:13: a list does not fit here"]);
    check("{ step: 5% }", &["6:15: unknown key `step` in `ramp` | did you mean `steps`?"]);
    check("{ steps: [5%, 50%] }", &["6:22: the last step is not 100% | end with `100%`"]);
    check("{ steps: [] }", &["6:22: the last step is not 100% | end with `100%`"]);
    check(
        "{ steps: 100% }",
        &["6:22: with the one step 100% the pool is back at once | write `ramp: none`"],
    );
    check(
        "{ steps: [5%, 50%, 50%, 100%] }",
        &["6:32: the step 50% does not come after 50% | let each step be greater"],
    );
    check("{ steps: [0%, 100%] }", &["6:23: `0%` is not a percentage"]);
    check("{ steps: [5%, 101%] }", &["6:27: `101%` is not a percentage"]);
    check("{ every: 500ms }", &["6:22: `every` is too short | the shortest is 1s"]);
    let many: Vec<String> = (80..=100).map(|it| format!("{it}%")).collect();
    check(
        &format!("{{ steps: [{}] }}", many.join(", ")),
        &["6:22: there are 21 steps | a ramp has at most 20"],
    );
    check_server("defaults: { ramp: 5 }", &["3:19: `ramp` can not be `5`"]);
    check_server("defaults: { ramps: {} }", &["3:13: unknown key `ramps` in `defaults`"]);
    check_server("defaults: { ramp: none }", &[]);
}

#[test]
fn budgets() {
    let check = |percent: &str, expect: &[&str]| {
        check_steer(&format!("eject_max: {percent}\n{US}"), expect);
    };
    check("1%", &[]);
    check("100%", &[]);
    check("0%", &["6:18: `0%` is not a percentage"]);
    check("60", &["6:18: `60` is not a percentage"]);
}

#[test]
fn the_nearest_ramp_counts() {
    let server = "version: 1\nzones: zones\ndefaults: { ramp: { every: 10s } }\n";
    let zone = "zone: a.example\nrecords:\n  \"@\": { NS: ns.x. }\n  \
                v: { steer: { pools: { us: { A: 192.0.2.1 } } } }\n  \
                w: { steer: { ramp: { steps: [1%, 100%] }, eject_max: 60%, pools: { \
                us: { A: 192.0.2.1 }, eu: { ramp: none, A: 192.0.2.2 }, \
                af: { ramp: { every: 5m }, A: 192.0.2.3 } } } }\n  \
                x: { steer: { ramp: none, pools: { us: { A: 192.0.2.1 } } } }\n";
    let (_folder, plan) = load(&[("evenkeel.yaml", server), ("zones/a.yaml", zone)]);
    let plan = plan.expect("nothing is wrong");
    let ramps = |name: usize| -> Vec<Option<(Vec<u8>, Duration)>> {
        let pools = plan.zones[0].steered[name].policy.pools.iter();
        pools.map(|it| it.ramp.as_ref().map(|it| (it.steps.to_vec(), it.every))).collect()
    };
    let usual = vec![5, 25, 50, 100];
    assert_eq!(ramps(0), [Some((usual.clone(), Duration::from_secs(10)))]);
    let of_steer = (vec![1, 100], Duration::from_mins(1));
    assert_eq!(ramps(1), [Some(of_steer), None, Some((usual, Duration::from_mins(5)))]);
    assert_eq!(ramps(2), [None]);
    let budgets: Vec<_> =
        plan.zones[0].steered.iter().map(|it| it.policy.eject_max_percent).collect();
    assert_eq!(budgets, [None, Some(60), None]);
}
