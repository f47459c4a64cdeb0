// This part is the psychoacoustic model: thresholds of noise, and how many bits each band gets.
#ifndef TP_AAC_MODEL_H
#define TP_AAC_MODEL_H

#include "frame.h"

typedef struct {
	float masked[BANDS];          // the noise that a band hides, as a part of its energy
	float up[BANDS], down[BANDS]; // the part of a band's threshold that reaches the next band, and the band before
	float quiet;                  // the energy up to which a line is not heard
} tp_aac_masking;

typedef struct {
	tp_aac_masking long_masking, short_masking;
	float last[CHANNELS][LONG_BANDS]; // thresholds of the last frame, if it had a long window
	int have_last;
	float noise_least;                   // a band may be replaced by noise if its error is at least this part of its energy
	int noise_from;                      // the first line that may be replaced by noise
	uint8_t noisy[CHANNELS][LONG_BANDS]; // bands of the last frame that were replaced by noise
} tp_aac_model;

// tp_aac_model_init sets up the model. bits_a_second is per channel.
void tp_aac_model_init(tp_aac_model *m, const tp_aac_form *form, float bits_a_second);

// tp_aac_model_thresholds computes energies and thresholds of the channels. With channels 1 in a stream of two, the channel stands for both.
void tp_aac_model_thresholds(tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int channels);
// tp_aac_model_pair turns left and right into middle and side in the bands for which that is cheaper, and sets these bands in is_middle.
void tp_aac_model_pair(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, uint8_t *is_middle);
// tp_aac_model_prepare computes power, form and peak from the lines, which do not change any more.
void tp_aac_model_prepare(const tp_aac_layout *l, tp_aac_channel *c);

// tp_aac_model_instead sets from which error on each band of channel k is replaced by noise. is_middle is NULL for one channel.
void tp_aac_model_instead(const tp_aac_model *m, const tp_aac_layout *l, tp_aac_channel *c, int k, const uint8_t *is_middle, int may_be_noise);
// tp_aac_model_remember keeps for the next frame which bands of channel k were replaced by noise. c is NULL if the channel was not encoded.
void tp_aac_model_remember(tp_aac_model *m, const tp_aac_layout *l, const tp_aac_channel *c, int k);

// tp_aac_demand holds the data from which the demand for bits, in a unit of its own, is computed for a given noise.
typedef struct {
	int bands;
	float energy[CHANNELS * BANDS] __attribute__((aligned(16)));    // log2
	float threshold[CHANNELS * BANDS] __attribute__((aligned(16))); // to the power of 1/4
	float lines[CHANNELS * BANDS] __attribute__((aligned(16)));     // that count
	float instead[CHANNELS * BANDS] __attribute__((aligned(16)));   // log2 of the energy divided by the error from which on noise replaces a band
} tp_aac_demand;

// tp_aac_demand_of collects the bands of the channels whose energy is above the threshold.
void tp_aac_demand_of(tp_aac_demand *d, const tp_aac_layout *l, const tp_aac_channel *c, int channels);
// tp_aac_demand_bits returns the demand if noise is added to the thresholds. Both are raised to the power of 1/4 for that (3GPP TS 26.403,
// 5.6.2), so that a band with a lower threshold loses more dB. A negative noise, down to -1, is the part by which thresholds are lowered.
float tp_aac_demand_bits(const tp_aac_demand *d, float noise);
// tp_aac_demand_noise returns the noise with which the demand is bits.
float tp_aac_demand_noise(const tp_aac_demand *d, float bits);

// tp_aac_model_scales sets the scale factors for that noise. It decides for each band whether it has a spectrum, is noise, or is empty.
void tp_aac_model_scales(const tp_aac_layout *l, tp_aac_channel *c, float noise);
// tp_aac_model_coarser raises all scale factors by a step, and drops the bands that are noise.
void tp_aac_model_coarser(const tp_aac_layout *l, tp_aac_channel *c);

#endif
