"""What is drawn on bench 2, how often and how far: every number of its generative model, each with its reason.

Where a source is named, the number is from it. The others are choices: they make the bench hard in the ways that
benches with people are, and say nothing about how often that happens anywhere.

- Johansson et al. 2001, Eye-hand coordination in object manipulation, J. Neurosci. 21(17):6917-6932.
- Bowman, Johansson and Flanagan 2009, Eye-hand coordination in a sequential target contact task, Exp. Brain Res.
  195(2):273-283.
- Mennie, Hayhoe and Sullivan 2007, Look-ahead fixations, Exp. Brain Res. 179(3):427-442.
- Land, Mennie and Rusted 1999, The roles of vision and eye movements in the control of activities of daily living,
  Perception 28(11):1311-1328.
- Flash and Hogan 1985, The coordination of arm movements, J. Neurosci. 5(7):1688-1703.
- Henis and Flash 1995, Mechanisms underlying the generation of averaged modified trajectories, Biol. Cybern.
  72:407-419.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Numbers of bench 2. Times in s, lengths in units of bench_scene, shares of 1. Pairs are least and most."""

    # Waits. Log-normal: most are short, a few last many seconds, as pauses of people do; a clock then says little.
    wait_median_s: float = 1.1
    wait_sigma: float = 0.9  # of the logarithm: one wait in ten is 3.2 times the median
    leave_share: float = 0.07  # of waits that the hand spends outside the picture: the person has left
    leave_median_s: float = 4.0
    leave_sigma: float = 0.6
    fidget_rate_hz: float = 0.15  # moves of a resting hand that lead to nothing

    # Where the hand rests
    rest_y: float = 448.0  # near the lower edge of the view, as on bench 1
    rest_spread: tuple[float, float] = (95.0, 16.0)  # standard deviation in x and y: reaches begin at varying places
    rest_outside_share: float = 0.2  # of rests that are below the picture: the hand is seen late
    rest_where_put_share: float = 0.3  # of rests that are beside the object just put down: no way home tells the end
    outside_y: float = 575.0

    # Reaches
    near_share: float = 0.55  # a reach of no length takes this share of one of 300 units, which takes the person's time
    reach_sigma: float = 0.12  # of the logarithm of a reach's time
    path_warp: float = 0.7  # minimum jerk (Flash and Hogan 1985) over time to this power: fast at first, as on bench 1
    bow_sigma: float = 0.1  # sideways swing half way, as a share of the distance, around the person's own
    aim_sigma: float = 5.0  # where fingertips end on an object
    wander: float = 4.0  # standard deviation of the hand around its path
    wander_s: float = 0.25  # its time constant
    # What happens on the way: one reach in three does not go as it began. A correction is added to the movement under
    # way (Henis and Flash 1995).
    pause_share: float = 0.13
    change_share: float = 0.13  # another object is taken after all
    withdraw_share: float = 0.08  # nothing is taken
    turn_from: tuple[float, float] = (0.3, 0.7)  # share of the reach's time at which that happens
    turn_s: float = 0.6  # shortest time of a correction
    pause_median_s: float = 0.5
    pause_sigma: float = 0.5
    after_pause: tuple[float, float, float] = (0.55, 0.25, 0.2)  # goes on, takes another object, takes nothing

    # Taking, carrying, putting down: as on bench 1, whose carries are short
    grasp_s: tuple[float, float] = (0.12, 0.22)
    carry_s: tuple[float, float] = (0.6, 0.9)
    retreat_s: tuple[float, float] = (0.4, 0.7)
    lift: float = 30.0

    # Objects: smaller than on bench 1, and close together
    object_scale: float = 0.72
    least_distance: float = 58.0  # between centres; an object is 62 to 84 wide
    beside_share: float = 0.65  # of places that are beside another object, at most `beside` away
    beside: float = 82.0
    panel_share: float = 0.5  # of sessions with a low panel in front, that hides the hand until it is above it
    pillar_share: float = 0.5  # of sessions with a narrow thing in the middle, that hides the hand on its way

    # The sign changes at random times, whatever the hand does
    sign_rate_hz: float = 0.5

    # Eyes
    lead_median_s: float = 0.7  # gaze is on an object so long before the hand: eyes lead by half a second and more
    lead_sigma: float = 0.35  # (Land et al. 1999; 0.56 s on average in their tea making); of the logarithm
    change_lead_s: float = 0.2  # gaze goes to the other object before the hand turns
    after_contact_s: float = 0.1  # gaze leaves an object 100 ms after contact (Bowman et al. 2009)
    look_ahead_share: float = 0.18  # of takes: a glance at the object seconds before (Mennie et al. 2007: 15 to 20 %)
    look_ahead_s: tuple[float, float] = (1.2, 4.0)  # so long before contact
    fixation_s: tuple[float, float] = (0.1, 0.25)  # shortest, and mean of what is added (exponential)
    fixation_spread: float = 10.0  # of fixations on one thing
    # Where people look who are not led by a reach: objects, obstacles, sign, elsewhere. Never at the hand, also not
    # on its way: they look where it will be (Johansson et al. 2001).
    idle_glances: tuple[float, float, float, float] = (0.6, 0.06, 0.12, 0.22)
    # The same for glances aside while a reach or an object that is carried leads gaze. Obstacles are optional landmarks
    # (Johansson et al. 2001).
    aside_glances: tuple[float, float, float, float] = (0.5, 0.25, 0.05, 0.2)

    # Persons. Bow: share of the distance, to the outside for right-handed persons
    left_handed_share: float = 0.1
    reach_s: tuple[float, float] = (0.9, 1.5)  # for 300 units; bench 1's persons take 1.3 to 1.7 s
    pace: tuple[float, float] = (0.7, 1.4)  # factor of waits
    bow: tuple[float, float] = (-0.05, 0.22)
    rest_off: tuple[float, float] = (0.0, 110.0)  # of the hand's usual place from the middle, to the outside
    head_gain: tuple[float, float] = (0.05, 0.3)  # share of a gaze shift that the head follows
    tremor: tuple[float, float] = (1.0, 2.5)
    tilt: float = 14.0  # standard deviation of the camera's tilt
    roll: float = 0.03  # rad, standard deviation
    zoom: tuple[float, float] = (0.92, 1.25)  # of the field of view


BENCH_2 = Rates()
