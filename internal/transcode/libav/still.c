//go:build cgo

#include "still.h"

#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/frame.h>
#include <libavutil/mem.h>
#include <libswscale/swscale.h>

// black fills a picture of YUV 4:2:0 in limited range.
static void black(AVFrame *f) {
	memset(f->data[0], 16, (size_t)f->linesize[0] * f->height);
	for (int i = 1; i < 3; i++)
		memset(f->data[i], 128, (size_t)f->linesize[i] * ((f->height + 1) / 2));
}

// draw scales the picture into the middle of f, keeping its shape.
static int draw(AVFrame *f, const uint8_t *rgba, int from_width, int from_height) {
	int width = f->width, height = f->height;
	if ((int64_t)from_width * height > (int64_t)from_height * width)
		height = (int)((int64_t)from_height * width / from_width);
	else
		width = (int)((int64_t)from_width * height / from_height);
	width = width < 2 ? 2 : width & ~1;
	height = height < 2 ? 2 : height & ~1;
	int x = (f->width - width) / 2 & ~1, y = (f->height - height) / 2 & ~1;

	struct SwsContext *sws = sws_getContext(from_width, from_height, AV_PIX_FMT_RGBA, width, height, AV_PIX_FMT_YUV420P,
		SWS_AREA | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
	if (!sws)
		return AVERROR(ENOMEM);
	const int *rec709 = sws_getCoefficients(SWS_CS_ITU709);
	sws_setColorspaceDetails(sws, rec709, 1, rec709, 0, 0, 1 << 16, 1 << 16);
	const uint8_t *from[4] = {rgba};
	int from_stride[4] = {4 * from_width};
	uint8_t *to[4] = {
		f->data[0] + y * f->linesize[0] + x,
		f->data[1] + y / 2 * f->linesize[1] + x / 2,
		f->data[2] + y / 2 * f->linesize[2] + x / 2,
	};
	int r = sws_scale(sws, from, from_stride, 0, from_height, to, f->linesize);
	sws_freeContext(sws);
	return r < 0 ? r : 0;
}

static int open_x264(AVCodecContext *c, const AVCodec *codec, int width, int height) {
	c->width = width;
	c->height = height;
	c->pix_fmt = AV_PIX_FMT_YUV420P;
	c->time_base = (AVRational){1, 30};
	c->framerate = (AVRational){30, 1};
	c->thread_count = 1;
	c->gop_size = 60;
	c->max_b_frames = 0;
	c->color_range = AVCOL_RANGE_MPEG;
	c->color_primaries = AVCOL_PRI_BT709;
	c->color_trc = AVCOL_TRC_BT709;
	c->colorspace = AVCOL_SPC_BT709;

	// Every player supports constrained baseline. Quality 22 is good enough for a picture that is seen for minutes.
	AVDictionary *options = NULL;
	av_dict_set(&options, "preset", "veryfast", 0);
	av_dict_set(&options, "tune", "stillimage", 0);
	av_dict_set(&options, "profile", "baseline", 0);
	av_dict_set(&options, "crf", "22", 0);
	av_dict_set(&options, "x264-params", "rc-lookahead=0:sync-lookahead=0", 0);
	int r = avcodec_open2(c, codec, &options);
	av_dict_free(&options);
	return r;
}

static int encode(AVCodecContext *c, AVFrame *f, AVPacket *p, uint8_t **out) {
	int r = avcodec_send_frame(c, f);
	if (r >= 0)
		r = avcodec_send_frame(c, NULL);
	if (r >= 0)
		r = avcodec_receive_packet(c, p);
	if (r < 0)
		return r;
	*out = av_memdup(p->data, p->size);
	return *out ? p->size : AVERROR(ENOMEM);
}

int tp_still_encode(const uint8_t *rgba, int from_width, int from_height, int width, int height, uint8_t **out) {
	const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
	if (!codec)
		return AVERROR_ENCODER_NOT_FOUND;
	AVCodecContext *c = avcodec_alloc_context3(codec);
	AVFrame *f = av_frame_alloc();
	AVPacket *p = av_packet_alloc();
	int r = AVERROR(ENOMEM);
	if (c && f && p)
		r = open_x264(c, codec, width, height);
	if (r >= 0) {
		f->format = AV_PIX_FMT_YUV420P;
		f->width = width;
		f->height = height;
		r = av_frame_get_buffer(f, 0);
	}
	if (r >= 0) {
		black(f);
		r = draw(f, rgba, from_width, from_height);
	}
	if (r >= 0) {
		f->pts = 0;
		r = encode(c, f, p, out);
	}
	av_packet_free(&p);
	av_frame_free(&f);
	avcodec_free_context(&c);
	return r;
}

void tp_still_free(uint8_t *out) { av_free(out); }
