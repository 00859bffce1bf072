//! What is left, case by case.

use super::*;
use crate::{
    geo::{Place, Prefix},
    limits::POOLS_MAX,
    steer::{By, Serves, Slack, class::costs},
};

/// Decides for a client and compares what is left.
///
/// A pool is a word: weight and endpoints, then marks. An endpoint is its family, `4` or `6`, and
/// `!` when it is down, `?` when it is shaky; marks are `@lat,lon`, `:serves`, `#tier`, `%trickle`
/// in hundredths of a percent, and `^` for a fence: `60=4,6?#2%500`. What is left is a line of
/// pools, each with its weight and its endpoints' places and TTLs.
struct Case {
    policy: Policy,
    conditions: Vec<Vec<Condition>>,
    family: Family,
    place: Place,
    around: Vec<Prefix>,
    before: Option<Decision>,
}

fn case(pools: &str) -> Case {
    let (pools, conditions) = pools.split(' ').map(pool).unzip::<_, _, Vec<_>, Vec<_>>();
    Case {
        policy: Policy::of(20, 5, pools.into()),
        conditions,
        family: Family::V4,
        place: Place::NOWHERE,
        around: Vec::new(),
        before: None,
    }
}

fn pool(text: &str) -> (Pool, Vec<Condition>) {
    let (weight, rest) = text.split_once('=').unwrap();
    let marks_at = rest.find(['@', ':', '#', '%', '^']).unwrap_or(rest.len());
    let (endpoints, mut marks) = rest.split_at(marks_at);
    let condition = |it: &str| Condition::seen(!it.ends_with('!'), it.ends_with('?'));
    let endpoint = |text: &str| Endpoint {
        target: match text.as_bytes()[0] {
            b'4' => Target::Address([192, 0, 2, 1].into()),
            _ => Target::Address(std::net::Ipv6Addr::LOCALHOST.into()),
        },
        weight: 1,
        label: None,
    };
    let conditions = endpoints.split(',').map(condition).collect();
    let mut pool = Pool::of(text, endpoints.split(',').map(endpoint).collect());
    pool.weight = weight.parse().unwrap();
    while let Some(mark) = marks.chars().next() {
        let end = marks[1..].find(['@', ':', '#', '%', '^']).map_or(marks.len(), |it| it + 1);
        let value = &marks[1..end];
        match mark {
            '@' => pool.at = Some(value.parse().unwrap()),
            ':' => pool.serves = value.split('+').map(serves).collect(),
            '#' => pool.tier = value.parse().unwrap(),
            '%' => pool.trickle = value.parse().unwrap(),
            _ => pool.fence = true,
        }
        marks = &marks[end..];
    }
    (pool, conditions)
}

fn serves(text: &str) -> Serves {
    match text {
        "*" => Serves::Any,
        "EU" => Serves::Continent("EU".parse().unwrap()),
        "64500" => Serves::Asn(64500),
        _ if text.contains('/') => Serves::Prefix(text.parse().unwrap()),
        _ if text.contains('-') => Serves::Subdivision(text.parse().unwrap()),
        _ => Serves::Country(text.parse().unwrap()),
    }
}

impl Case {
    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    /// Sets dials and ramps, from the first pool on.
    fn scale(&mut self, scaled: &[(u8, u8)]) {
        for (conditions, (dial, ramp)) in self.conditions.iter_mut().zip(scaled) {
            for it in conditions {
                (it.dial, it.ramp) = (*dial, *ramp);
            }
        }
    }

    fn decide(&self) -> Decision {
        self.choose().decision
    }

    fn choose(&self) -> Choice {
        let costs = costs(&self.policy, &self.place, |_| None);
        let class = Class::of(&self.policy, &self.place, &self.around, &costs);
        choose(&self.policy, &class, &self.conditions, self.family, self.before.as_ref())
    }

    #[track_caller]
    fn check(&self, expect: &str) {
        let decision = self.decide();
        let left = match decision.outcome {
            Outcome::Draw(candidates) => {
                let sum: u64 = candidates.pools.iter().map(|it| it.weight).sum();
                assert_eq!(candidates.weight_sum, sum);
                let member = |it: &Member| format!("{}/{}", it.endpoint, it.ttl);
                let line = |it: &Candidate| {
                    let members: Vec<_> = it.members.iter().map(member).collect();
                    format!("{}={}:{}", it.pool, it.weight, members.join(","))
                };
                candidates.pools.iter().map(line).collect::<Vec<_>>().join(" ")
            }
            outcome => format!("{outcome:?}"),
        };
        assert_eq!(format!("{:?} {left}", decision.footing), expect);
    }
}

#[test]
fn available_pools_keep_their_weights() {
    let check = |pools, expect| case(pools).check(expect);
    check("60=4 30=4 10=4", "Healthy 0=60:0/20 1=30:0/20 2=10:0/20");
    check("60=4 30=4! 10=4", "Healthy 0=60:0/20 2=10:0/20");
    check("60=4,4!,4 30=6", "Healthy 0=60:0/20,2/20");
    check("60=4? 30=4", "Healthy 0=60:0/5 1=30:0/20");
}

#[test]
fn weight_zero_is_the_last_resort_of_its_tier() {
    let check = |pools, expect| case(pools).check(expect);
    check("0=4 30=4", "Healthy 1=30:0/20");
    check("0=4 30=4!", "Healthy 0=1:0/20");
    check("0=4 0=4", "Healthy 0=1:0/20 1=1:0/20");
    check("0=4 30=4! 50=4#2", "Healthy 0=1:0/20");
    // Failing open acts as if all were up, so the last resort is not needed.
    check("0=4! 30=4!", "FailedOpen 1=30:0/5");
}

#[test]
fn nothing_left() {
    let check = |all_down, expect| {
        case("60=4! 30=4!,6").with(|it| it.policy.all_down = all_down).check(expect);
    };
    check(AllDown::ServeAll, "FailedOpen 0=60:0/5 1=30:0/5");
    check(AllDown::Refuse, "Healthy NoReachableAuthority");
    check(AllDown::Pool(1), "Fallback 1=30:0/5");
    check(AllDown::LastGood, "FailedOpen 0=60:0/5 1=30:0/5");
}

#[test]
fn last_good_is_what_was_answered_while_something_was_up() {
    let last_good = |it: &mut Case| it.policy.all_down = AllDown::LastGood;
    let healthy = case("60=4 30=4!").with(last_good).decide();
    let down = case("60=4! 30=4!").with(last_good).with(|it| it.before = Some(healthy));
    down.check("LastGood 0=60:0/5");
    // And it stays so, for as long as it lasts.
    let still = down.decide();
    case("60=4! 30=4!")
        .with(last_good)
        .with(|it| it.before = Some(still))
        .check("LastGood 0=60:0/5");
}

#[test]
fn a_family_that_is_not_there_is_no_data() {
    let check = |pools, all_down, family, expect| {
        let edit = |it: &mut Case| (it.policy.all_down, it.family) = (all_down, family);
        case(pools).with(edit).check(expect);
    };
    check("60=4! 30=4", AllDown::Refuse, Family::V6, "Healthy NoData");
    check("60=4! 30=6!", AllDown::Pool(0), Family::V6, "Fallback NoDataFor(5)");
    check("60=4", AllDown::ServeAll, Family::Name, "Healthy NoData");
}

#[test]
fn min_up_counts_the_whole_pool() {
    let check = |pools, percent, expect| {
        case(pools).with(|it| it.policy.min_up_percent = Some(percent)).check(expect);
    };
    check("60=4,4! 30=4", 50, "Healthy 0=60:0/20 1=30:0/20");
    check("60=4,4! 30=4", 51, "Healthy 1=30:0/20");
    check("60=4,6! 30=4", 51, "Healthy 1=30:0/20");
}

#[test]
fn the_most_specific_level_with_an_available_pool_wins() {
    let client = |it: &mut Case| {
        it.place = Place {
            country: Some("DE".parse().unwrap()),
            subdivision: Some("DE-BE".parse().unwrap()),
            continent: Some("EU".parse().unwrap()),
            asn: Some(64500),
            at: None,
        };
        it.around = vec!["192.0.2.0/24".parse().unwrap(), "192.0.0.0/16".parse().unwrap()];
    };
    let check = |pools, expect| case(pools).with(client).check(expect);
    check("1=4:* 2=4:EU 3=4:DE 4=4:DE-BE 5=4:64500", "Healthy 4=5:0/20");
    check("1=4:* 2=4:EU 3=4:DE 4=4:DE-BE 5=4!:64500", "Healthy 3=4:0/20");
    check("1=4:* 2=4:EU 3=4:DE 4=4!:DE-BE", "Healthy 2=3:0/20");
    check("1=4:* 2=4:EU 3=4:FR", "Healthy 1=2:0/20");
    check("1=4:* 3=4:FR+US", "Healthy 0=1:0/20");
    check("1=4:64500 2=4:192.0.0.0/16 3=4:192.0.2.0/24", "Healthy 2=3:0/20");
    check("1=4:64500 2=4:192.0.0.0/16 3=4!:192.0.2.0/24", "Healthy 1=2:0/20");
    check("1=4:64500 3=4:198.51.100.0/24", "Healthy 0=1:0/20");
    // At a wider level all that serve it are candidates, be they down at a narrower one or not.
    check("1=4!:DE 2=4:DE+EU 3=4:EU", "Healthy 1=2:0/20");
    check("1=4!:DE 2=4:EU 3=4:EU", "Healthy 1=2:0/20 2=3:0/20");
    // Nobody serves the client: when all is down anyway, everybody does.
    check("1=4:US 2=4:FR", "FailedOpen 0=1:0/5 1=2:0/5");
}

#[test]
fn clients_of_a_fence_go_nowhere_else() {
    let german = |it: &mut Case| it.place.country = Some("DE".parse().unwrap());
    let check = |pools, all_down, expect| {
        case(pools).with(german).with(|it| it.policy.all_down = all_down).check(expect);
    };
    check("1=4:DE^ 2=4:*", AllDown::ServeAll, "Healthy 0=1:0/20");
    check("1=4!:DE^ 2=4:*", AllDown::ServeAll, "FailedOpen 0=1:0/5");
    check("1=4!:DE^ 2=4:*", AllDown::Refuse, "Healthy NoReachableAuthority");
    check("1=4!:DE^ 2=4:*", AllDown::Pool(1), "Healthy NoReachableAuthority");
    check("1=4!:DE^ 2=4:*", AllDown::Pool(0), "Fallback 0=1:0/5");
    check("1=6:DE^ 2=4:*", AllDown::ServeAll, "Healthy NoData");
    // Others are kept out of it.
    let check = |pools, expect| case(pools).check(expect);
    check("1=4:DE^ 2=4!:*", "FailedOpen 1=2:0/5");
    check("1=4:DE^ 2=4!:FR", "FailedOpen 1=2:0/5");
}

#[test]
fn a_later_tier_waits_but_for_its_trickle() {
    let check = |pools, expect| case(pools).check(expect);
    check("1=4 2=4#2", "Healthy 0=1:0/20");
    check("1=4! 2=4#2 3=4#3", "Healthy 1=2:0/20");
    // Five percent of three is what it gets of three hundred.
    check("1=4 2=4 7=4#2%500", "Healthy 0=9500:0/20 1=19000:0/20 2=1500:0/20");
    check("1=4 2=4 7=4!#2%500", "Healthy 0=1:0/20 1=2:0/20");
    check("1=4! 2=4! 7=4#2%500", "Healthy 2=7:0/20");
}

#[test]
fn dials_and_ramps_scale_weights_in_lowest_terms() {
    let check = |pools, scaled: &[(u8, u8)], expect| {
        case(pools).with(|it| it.scale(scaled)).check(expect);
    };
    check("60=4 40=4", &[(100, 25)], "Healthy 0=60:0/20 1=160:0/20");
    check("60=4 40=4", &[(1, 1)], "Healthy 0=60:0/20 1=400000:0/20");
    check("60=4 40=4", &[(50, 100), (100, 50)], "Healthy 0=60:0/20 1=40:0/20");
    check("60=4 40=4", &[(0, 5), (7, 5)], "Healthy 1=40:0/20");
    // Five percent of a trickle of five percent, and never less than the least there is.
    check("1=4 7=4#2%500", &[(100, 100), (100, 5)], "Healthy 0=9975:0/20 1=25:0/20");
    check("1=4 7=4#2%1", &[(100, 100), (1, 5)], "Healthy 0=9999:0/20 1=1:0/20");
}

#[test]
fn what_dials_and_ramps_do_not_leave_goes_to_the_next_choice() {
    let by_distance = |it: &mut Case| {
        it.place.at = Some("50.1,8.7".parse().unwrap());
        it.policy.by = By::Distance;
    };
    let check = |pools, scaled: &[(u8, u8)], expect| {
        case(pools).with(by_distance).with(|it| it.scale(scaled)).check(expect);
    };
    let pools = "1=4@50,8 2=4@52,13 3=4@40,-74";
    check(pools, &[(50, 100)], "Healthy 0=1:0/20 1=1:0/20");
    check(pools, &[(1, 5)], "Healthy 0=1:0/20 1=1999:0/20");
    check(pools, &[(0, 100)], "Healthy 1=2:0/20");
    // 60, then 25 of 40, then all of 30.
    check(pools, &[(60, 100), (100, 25)], "Healthy 0=6:0/20 1=1:0/20 2=3:0/20");
    // Where nobody has all of its share, it is the largest that counts as all.
    check(pools, &[(25, 100), (50, 100), (20, 100)], "Healthy 0=1:0/20 1=1:0/20");
    check(pools, &[(50, 5), (100, 5), (20, 5)], "Healthy 0=1:0/20 1=1:0/20");
    check(pools, &[(10, 100), (20, 100), (40, 100)], "Healthy 0=2:0/20 1=3:0/20 2=3:0/20");
    check(pools, &[(100, 5), (100, 5), (100, 5)], "Healthy 0=1:0/20");
    // What is down is no choice.
    check("1=4@50,8 2=4!@52,13 3=4@40,-74", &[(50, 100)], "Healthy 0=1:0/20 2=1:0/20");
    // Failing open minds dials as ever.
    check("1=4!@50,8 2=4!@52,13", &[(50, 100)], "FailedOpen 0=1:0/5 1=1:0/5");

    let check = |pools, scaled: &[(u8, u8)], expect| {
        case(pools).with(|it| it.scale(scaled)).check(expect);
    };
    // A primary that comes back, its standby, and its trickle on top of that.
    check("9=4 7=4#2", &[(100, 5)], "Healthy 0=1:0/20 1=19:0/20");
    check("9=4 7=4#2%500", &[(100, 20)], "Healthy 0=9500:0/20 1=40500:0/20");
    check("9=4 0=4 7=4#2", &[(50, 100)], "Healthy 0=1:0/20 1=1:0/20");
    // Two that may have half at most keep half, by their weights and shares.
    check("1=4 2=4 1=4#2", &[(50, 100), (50, 100)], "Healthy 0=1:0/20 1=2:0/20 2=3:0/20");
    check("1=4 2=4 1=4#2", &[(50, 100), (25, 100)], "Healthy 0=1:0/20 1=1:0/20 2=2:0/20");
    // One that may have all takes what the others may not.
    check("1=4 2=4 1=4#2", &[(50, 100), (100, 100)], "Healthy 0=1:0/20 1=4:0/20");
    // Nowhere to go: as much as ever.
    check("60=4 40=4", &[(50, 100), (50, 100)], "Healthy 0=60:0/20 1=40:0/20");
    check("60=4 40=4#2", &[(50, 100), (0, 100)], "Healthy 0=60:0/20");
}

#[test]
fn what_a_dial_sends_on_stays_in_the_fence() {
    let german = |it: &mut Case| it.place.country = Some("DE".parse().unwrap());
    let check = |pools, expect| {
        case(pools).with(german).with(|it| it.scale(&[(25, 100)])).check(expect);
    };
    check("1=4:DE 2=4:*", "Healthy 0=1:0/20 1=3:0/20");
    check("1=4:DE^ 2=4:*", "Healthy 0=1:0/20");
    check("1=4:DE^ 1=4#2:DE^ 2=4:*", "Healthy 0=1:0/20 1=3:0/20");
    // At the wider level it is no choice again.
    check("1=4:DE+* 2=4:*", "Healthy 0=1:0/20 1=3:0/20");
}

#[test]
fn who_sends_clients_on_is_told() {
    let told = |pools, scaled: &[(u8, u8)]| {
        let case = case(pools).with(|it| it.scale(scaled));
        case.choose().overflow.map(|it| {
            let pools = |set: PoolSet| set.iter().collect::<Vec<_>>();
            (pools(it.from), it.kept, pools(it.to), it.is_short)
        })
    };
    assert_eq!(told("1=4 2=4#2", &[]), None);
    assert_eq!(told("1=4", &[(50, 100)]), None);
    assert_eq!(told("1=4 2=4#2", &[(50, 50)]), Some((vec![0], 2500, vec![1], false)));
    let short = [(20, 100), (40, 100), (40, 100)];
    assert_eq!(told("1=4 2=4#2 3=4#3", &short), Some((vec![0], 5000, vec![1], true)));
    assert_eq!(told("1=4 2=4#2", &[(50, 100), (50, 100)]), None);
    assert_eq!(told("1=4! 2=4!#2", &[(50, 100)]), Some((vec![0], 5000, vec![1], false)));
}

/// However long the chain and however odd the shares: weights fit, and are what they have to be.
#[test]
#[allow(clippy::cast_precision_loss)] // It is about what is rounded.
fn weights_of_a_long_chain_are_exact_enough() {
    let n_pools = u16::try_from(POOLS_MAX).unwrap();
    let pools: Vec<String> = (1..=n_pools).map(|tier| format!("65535=4#{tier}")).collect();
    for (dial, ramp) in [(1, 1), (37, 97), (50, 100), (99, 99)] {
        let scaled = vec![(dial, ramp); POOLS_MAX - 1];
        let decision = case(&pools.join(" ")).with(|it| it.scale(&scaled)).decide();
        let Outcome::Draw(drawn) = decision.outcome else { panic!("{:?}", decision.outcome) };
        assert!(drawn.weight_sum <= WEIGHT_SUM_MAX + u64::from(n_pools));
        let part = |weight: u64| weight as f64 / drawn.weight_sum as f64;
        let goes_on = 1.0 - f64::from(dial) * f64::from(ramp) / SHARE_WHOLE as f64;
        for (pool, at) in drawn.pools.iter().zip(0..) {
            let is_last = usize::from(pool.pool) + 1 == POOLS_MAX;
            let expect = goes_on.powi(at) * if is_last { 1.0 } else { 1.0 - goes_on };
            assert!((part(pool.weight) - expect).abs() < 1e-6, "{dial} {ramp} {at}");
        }
    }
}

#[test]
fn the_nearest_and_those_within_the_slack() {
    let pools = "1=4@50,8 2=4@52,13 3=4@40,-74";
    let at = |it: &mut Case| it.place.at = Some("50.1,8.7".parse().unwrap());
    let by = |by, slack| move |it: &mut Case| (it.policy.by, it.policy.slack) = (by, slack);
    let check = |pools, how: (By, Slack), expect| {
        case(pools).with(at).with(by(how.0, how.1)).check(expect);
    };
    let none = Slack::Absolute(0);
    check(pools, (By::Distance, none), "Healthy 0=1:0/20");
    check(pools, (By::Distance, Slack::Absolute(500_000)), "Healthy 0=1:0/20 1=2:0/20");
    check("1=4!@50,8 2=4@52,13 3=4@40,-74", (By::Distance, none), "Healthy 1=2:0/20");
    // 51 km and 370 km are 14.4 ms and 19.9 ms.
    check(pools, (By::Latency, none), "Healthy 0=1:0/20");
    check(pools, (By::Latency, Slack::Absolute(5_000)), "Healthy 0=1:0/20");
    check(pools, (By::Latency, Slack::Percent(40)), "Healthy 0=1:0/20 1=2:0/20");
    // Where the client is not known, the stage passes everything on.
    case(pools).with(by(By::Distance, none)).check("Healthy 0=1:0/20 1=2:0/20 2=3:0/20");
    // A tier comes before what is near.
    check("1=4@50,8#2 2=4@52,13 3=4@40,-74", (By::Distance, none), "Healthy 1=2:0/20");
}
