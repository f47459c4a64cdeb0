// A thin layer over libavcodec and libswscale for moving pictures. Negative results are FFmpeg's error codes.
#ifndef TP_VIDEO_H
#define TP_VIDEO_H

#include <stdint.h>
#include <libavutil/pixfmt.h>

typedef struct tp_video_decoder tp_video_decoder;
typedef struct tp_canvas tp_canvas;
typedef struct tp_video_encoder tp_video_encoder;

typedef struct {
	void *frame;    // the picture itself, freed with tp_picture_free
	int64_t time;   // as it was given with the packet
	int width, height;
	int matrix;     // of the colours: AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M, or AVCOL_SPC_UNSPECIFIED if the stream does not say
	int damaged;    // the decoder has invented parts of the picture
} tp_picture;

// tp_video_decoder_new refuses pictures of more than max_pixels before it takes memory for them. It returns 0 and the
// decoder, or an error.
int tp_video_decoder_new(tp_video_decoder **out, const char *name, const uint8_t *config, int size, int64_t max_pixels);
// tp_video_decoder_send takes an access unit, or NULL to get the pictures that the decoder still holds. The caller then receives all pictures.
int tp_video_decoder_send(tp_video_decoder *d, const uint8_t *data, int size, int64_t time);
// tp_video_decoder_receive returns 1 and the next picture in presentation order, or 0 if there is none yet.
int tp_video_decoder_receive(tp_video_decoder *d, tp_picture *out);
// tp_video_decoder_rate returns the pictures per second that the stream claims to have, or 0.
double tp_video_decoder_rate(const tp_video_decoder *d);
void tp_video_decoder_free(tp_video_decoder *d);
void tp_picture_free(tp_picture *p);

// tp_layout says where a picture goes, in even numbers: the part of the canvas that shows it, the rest being black.
typedef struct {
	int width, height;
	int left, top, inner_width, inner_height;
	int rotation; // degrees clockwise
} tp_layout;

tp_canvas *tp_canvas_new(void);
// tp_canvas_draw draws the picture on the canvas, as YUV 4:2:0 in 8 bits and limited range. The matrix of the picture must not be
// AVCOL_SPC_UNSPECIFIED.
int tp_canvas_draw(tp_canvas *c, const tp_picture *p, const tp_layout *l);
// tp_canvas_rgba writes the picture on the canvas as width x height pixels of four bytes. matrix is that of its colours.
int tp_canvas_rgba(const tp_canvas *c, int matrix, uint8_t *rgba);
void tp_canvas_free(tp_canvas *c);

typedef struct {
	int width, height;
	int rate_num, rate_den; // pictures per second
	int matrix;
	int vp8; // else H.264
	int threads;
	int64_t rate_bps, buffer; // the buffer is in bits
	int quality;              // x264's CRF, with the rate as its upper bound; 0: the whole rate is used
	const char *preset;
} tp_encoding;

int tp_video_encoder_new(tp_video_encoder **out, const tp_encoding *as);
// tp_video_encoder_config returns the parameter sets of H.264, with start codes.
int tp_video_encoder_config(const tp_video_encoder *e, const uint8_t **config);
// tp_video_encoder_encode encodes the picture on the canvas, at a rate and with a buffer as in tp_encoding, and returns the
// size of the access unit, that of H.264 with start codes; *data is valid until the next call.
int tp_video_encoder_encode(tp_video_encoder *e, const tp_canvas *c, int key, int64_t rate_bps, int64_t buffer,
	const uint8_t **data);
void tp_video_encoder_free(tp_video_encoder *e);

#endif
