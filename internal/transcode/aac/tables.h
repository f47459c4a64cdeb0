// Tables of AAC-LC (ISO/IEC 14496-3, 4.A and 4.5.4), and tables that are computed from them once.
#ifndef TP_AAC_TABLES_H
#define TP_AAC_TABLES_H

#include <stdint.h>

enum {
	FRAME = 1024, // samples and lines of a channel
	SHORT = 128,  // lines of a short window
	SHORTS = 8,   // short windows in a frame

	LONG_BANDS = 51, // most scale factor bands of a long window
	SHORT_BANDS = 15,
	BANDS = SHORTS * SHORT_BANDS, // most of a frame

	BOOKS = 12,    // codebooks; book 0 has no code words, since its lines are 0
	ESCAPE = 11,   // the book whose values may be followed by an escape
	NOISE = 13,    // the number in place of a codebook for a band of noise, which the decoder makes
	MAX_CODE = 19, // bits of the longest code word
	MAX_QUANT = 8191,
	SCALES = 256,  // scale factors
};

// tp_aac_form has the widths of the scale factor bands at a sampling rate.
typedef struct {
	int rate;
	uint8_t long_bands, short_bands;
	const uint8_t *long_widths, *short_widths;
} tp_aac_form;

// tp_aac_form_of returns NULL if AAC has no such sampling rate.
const tp_aac_form *tp_aac_form_of(int rate);

// A code is the code word shifted left by 8, plus its length.
typedef struct {
	uint32_t codes[BOOKS][289];
	uint32_t differences[121]; // of scale factors, from -60 on

	// bits holds the lengths of code words, signs included, of two books with the same range of values, the first book in the low half. The
	// values are up to 1 (books 1, 2), 2 (3, 4), 4 (5, 6), 7 (7, 8), 12 (9, 10), and 16 (11 alone).
	uint32_t bits[6][289];

	float quantise[SCALES]; // 2^(-3/16 (scale - 100))
	float long_slope[FRAME], short_slope[SHORT]; // rising halves of windows
} tp_aac_tables;

// tp_aac_tables_of computes the tables at the first call. Any thread may call it.
const tp_aac_tables *tp_aac_tables_of(void);

#endif
