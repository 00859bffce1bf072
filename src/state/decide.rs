//! Deciding: from what is known of the endpoints to what every client of a name gets.
//!
//! What many names have in common is computed once and shared: the views of policies of equal
//! shape, the lines of names whose classes fall out alike, and whole names that do not differ in
//! anything.
//!
//! Not here: how a client's decision is found (`steer`), and when a name is decided anew (`apply`).

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Weak},
};

use crate::{
    geo::Geo,
    snapshot::{FamilyNow, Steered},
    steer::{
        AllDown, Changed, ClassId, Condition, Decision, Footing, Lines, Measured, Outcome, Outlook,
        Policy, Shape, View, choose,
    },
    wire::Family,
};

/// By pool and endpoint of a policy.
pub(super) type Conditions = Vec<Vec<Condition>>;

/// What decisions are made from besides the endpoints, and what they have in common.
#[derive(Debug)]
pub(super) struct Decider {
    geo: Arc<Geo>,
    measured: Arc<Measured>,
    views: HashMap<Shape, Arc<View>>,
    /// By view and the numbers of its classes.
    lines: HashMap<(usize, Box<[u16]>), Arc<Lines>>,
    /// By view: the parts of its classes.
    parts: HashMap<usize, (Weak<View>, Arc<[f64]>)>,
    /// By policy and conditions; for as long as one snapshot is made.
    alike: HashMap<(usize, Vec<Conditions>), Arc<Steered>>,
}

impl Decider {
    pub(super) fn new(geo: Arc<Geo>) -> Self {
        Self {
            geo,
            measured: Arc::default(),
            views: HashMap::new(),
            lines: HashMap::new(),
            parts: HashMap::new(),
            alike: HashMap::new(),
        }
    }

    /// Takes other places.
    pub(super) fn set_geo(&mut self, geo: Arc<Geo>) {
        self.geo = geo;
        self.views.clear();
    }

    /// Takes other measurements. Policies that do not ask for them keep their views.
    pub(super) fn set_measured(&mut self, measured: Arc<Measured>) {
        self.measured = measured;
        self.views.retain(|shape, _| !shape.counts_latency());
    }

    /// What is known of addresses.
    pub(super) fn geo(&self) -> &Arc<Geo> {
        &self.geo
    }

    /// The round trips that were measured.
    pub(super) fn measured(&self) -> &Arc<Measured> {
        &self.measured
    }

    /// Lets go of what no name uses any more; between two snapshots.
    pub(super) fn sweep(&mut self) {
        self.alike.clear();
        self.lines.retain(|_, lines| 1 < Arc::strong_count(lines));
        self.views.retain(|_, view| 1 < Arc::strong_count(view));
        self.parts.retain(|_, (view, _)| 0 < view.strong_count());
    }

    /// What a name gives. `conditions` has an entry per family of the policy, `before` is what the
    /// name gave until now.
    pub(super) fn steered(
        &mut self,
        policy: &Arc<Policy>,
        conditions: Vec<Conditions>,
        is_ready: bool,
        before: Option<&Steered>,
    ) -> Arc<Steered> {
        // What was good last differs from name to name.
        let is_like_others = policy.all_down != AllDown::LastGood && is_ready;
        let key = (Arc::as_ptr(policy).addr(), conditions);
        if is_like_others && let Some(alike) = self.alike.get(&key) {
            return Arc::clone(alike);
        }
        let view = self.view(policy);
        let families = policy.families().iter().zip(&key.1).map(|(family, conditions)| {
            let before = before.and_then(|it| Before::of(it, *family, &view));
            let decide = |id| {
                let before = before.as_ref().map(|it| it.decision(id));
                let class = &view.classes()[usize::from(id.0)];
                let decision = choose(policy, class, conditions, *family, before).decision;
                let is_known = is_ready || decision.outcome == Outcome::NoData;
                Cow::Owned(if is_known { decision } else { not_ready() })
            };
            let outlook = self.outlook(&view, decide);
            FamilyNow { family: *family, conditions: conditions.clone().into(), outlook }
        });
        let families = families.collect();
        let parts = policy.demand.map(|_| self.parts(&view));
        let steered = Arc::new(Steered { policy: Arc::clone(policy), view, parts, families });
        if is_like_others {
            self.alike.insert(key, Arc::clone(&steered));
        }
        steered
    }

    /// What a policy sees, for a question that is asked rarely.
    pub(super) fn view_of(&self, policy: &Policy) -> Arc<View> {
        let known = self.views.get(&Shape::of(policy)).cloned();
        known.unwrap_or_else(|| Arc::new(View::new(policy, &self.geo, &self.measured)))
    }

    /// The same name after what spills: `changed` has the decisions of classes that are others, by
    /// family.
    pub(super) fn respread(
        &mut self,
        base: &Steered,
        changed: Vec<Option<Changed>>,
    ) -> Arc<Steered> {
        let families = base.families.iter().zip(changed).map(|(now, changed)| {
            let Some(changed) = changed else { return now.clone() };
            let decide = |id| {
                Cow::Borrowed(changed.of_class(id).unwrap_or_else(|| now.outlook.of_class(id)))
            };
            let outlook = self.outlook(&base.view, decide);
            FamilyNow { outlook, ..now.clone() }
        });
        let families = families.collect();
        Arc::new(Steered { families, ..base.clone() })
    }

    /// By class of a view, its part of all clients.
    pub(super) fn parts(&mut self, view: &Arc<View>) -> Arc<[f64]> {
        let known = self.parts.entry(Arc::as_ptr(view).addr());
        let parts = || (Arc::downgrade(view), Arc::from(view.parts(&self.geo)));
        Arc::clone(&known.or_insert_with(parts).1)
    }

    fn view(&mut self, policy: &Policy) -> Arc<View> {
        let (geo, measured) = (&self.geo, &self.measured);
        let view = self.views.entry(Shape::of(policy));
        Arc::clone(view.or_insert_with(|| Arc::new(View::new(policy, geo, measured))))
    }

    fn outlook<'d>(
        &mut self,
        view: &Arc<View>,
        decide: impl Fn(ClassId) -> Cow<'d, Decision>,
    ) -> Outlook {
        Outlook::of(view, decide, |numbers| {
            let key = (Arc::as_ptr(view).addr(), numbers.into());
            Arc::clone(self.lines.entry(key).or_insert_with(|| Arc::new(Lines::new(view, numbers))))
        })
    }
}

/// What a name gave for a family until now.
struct Before<'b> {
    outlook: &'b Outlook,
    /// The class of the view before, for each of the view now.
    classes: Option<Vec<ClassId>>,
}

impl<'b> Before<'b> {
    fn of(steered: &'b Steered, family: Family, view: &Arc<View>) -> Option<Self> {
        let outlook = &steered.family(family)?.outlook;
        let is_same = Arc::ptr_eq(&steered.view, view);
        let class_before = |address| steered.view.class(address).0;
        let classes = (!is_same).then(|| view.samples().into_iter().map(class_before).collect());
        Some(Self { outlook, classes })
    }

    fn decision(&self, now: ClassId) -> &'b Decision {
        let class = self.classes.as_ref().map_or(now, |classes| classes[usize::from(now.0)]);
        self.outlook.of_class(class)
    }
}

fn not_ready() -> Decision {
    Decision { footing: Footing::Healthy, outcome: Outcome::NotReady }
}
