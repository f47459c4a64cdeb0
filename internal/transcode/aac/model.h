// What can be heard: thresholds, and the share of each band in the bits there are.
#ifndef TP_AAC_MODEL_H
#define TP_AAC_MODEL_H

#include "frame.h"

typedef struct {
	float masked[BANDS];          // noise that a band hides, of its energy
	float up[BANDS], down[BANDS]; // how much of a band's threshold reaches the next one, and the one before
	float quiet;                  // energy of a line that nobody hears
} tp_aac_masking;

typedef struct {
	tp_aac_masking long_masking, short_masking;
	float last[CHANNELS][LONG_BANDS]; // thresholds of the last frame, if it had a long window
	int have_last;
	float noise_least;                   // the error of a band, of its energy, from which on noise may stand for it
	int noise_from;                      // the first line that it may stand for
	uint8_t noisy[CHANNELS][LONG_BANDS]; // bands of the last frame that noise stood for
} tp_aac_model;

// tp_aac_model_init makes the model for so many bits a second and channel.
void tp_aac_model_init(tp_aac_model *m, const tp_aac_form *form, float bits_a_second);

// tp_aac_model_thresholds sets energies and thresholds of channels; one stands for both if there are two.
void tp_aac_model_thresholds(tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int channels);
// tp_aac_model_pair makes middle and side of the bands of left and right for which that is cheaper, and says which.
void tp_aac_model_pair(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, uint8_t *is_middle);
// tp_aac_model_prepare sets what is known of the lines when they do not change any more.
void tp_aac_model_prepare(const tp_aac_layout *l, tp_aac_channel *c);

// tp_aac_model_instead says which bands of channel k noise may stand for, and from which error on. is_middle is NULL for one channel.
void tp_aac_model_instead(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int k, const uint8_t *is_middle, int may_be_noise);
// tp_aac_model_remember keeps for the next frame which bands of channel k noise stood for. c is NULL if it was not coded.
void tp_aac_model_remember(tp_aac_model *m, const tp_aac_layout *l, const tp_aac_channel *c, int k);

// A tp_aac_demand is how many bits bands want, in one unit of their own, and how that changes with more noise.
typedef struct {
	int bands;
	float energy[CHANNELS * BANDS] __attribute__((aligned(16)));    // log2
	float threshold[CHANNELS * BANDS] __attribute__((aligned(16))); // to the power of 1/4
	float lines[CHANNELS * BANDS] __attribute__((aligned(16)));     // that count
	float instead[CHANNELS * BANDS] __attribute__((aligned(16)));   // log2 of the energy to the error from which on noise stands for a band
} tp_aac_demand;

// tp_aac_demand_of takes those bands of channels that are above their thresholds.
void tp_aac_demand_of(tp_aac_demand *d, const tp_aac_layout *l, const tp_aac_channel *c, int channels);
// tp_aac_demand_bits returns what they want with so much more noise: noise is added to thresholds in powers of 1/4 (3GPP TS
// 26.403, 5.6.2): what has the lower threshold loses more dB, but not all of them. From 0 to -1 it is the share that is taken off them.
float tp_aac_demand_bits(const tp_aac_demand *d, float noise);
// tp_aac_demand_noise returns the noise with which they want so many.
float tp_aac_demand_noise(const tp_aac_demand *d, float bits);

// tp_aac_model_scales sets the scale factors for so much more noise, and which bands have a spectrum or are noise.
void tp_aac_model_scales(const tp_aac_layout *l, tp_aac_channel *c, float noise);
// tp_aac_model_coarser raises all scale factors by a step, and does without bands that are noise.
void tp_aac_model_coarser(const tp_aac_layout *l, tp_aac_channel *c);

#endif
