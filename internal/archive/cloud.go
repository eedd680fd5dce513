package archive

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
	"gocloud.dev/gcp"
	"google.golang.org/api/googleapi"
)

// bucket keeps objects in a cloud. Its libraries put an object there whole or
// not at all, in parts when it is large, and answer when it is durable.
type bucket struct {
	bucket *blob.Bucket
}

var _ store = bucket{}

// openS3 leaves checksums of answers out unless the URL asks for them: where a
// store sends none, the library writes a line to standard error for each object.
func openS3(ctx context.Context, p place) (store, error) {
	const validation = "response_checksum_validation"
	u, query := *p.url, p.url.Query()
	if !query.Has(validation) {
		query.Set(validation, "when_required")
		u.RawQuery = query.Encode()
	}
	return p.bucket(new(s3blob.URLOpener).OpenBucketURL(context.WithoutCancel(ctx), &u))
}

// openGCS finds the credentials by itself: those that the library would find are
// looked for once in a process, and not finding them is printed and no error.
func openGCS(ctx context.Context, p place) (store, error) {
	ctx = context.WithoutCancel(ctx) // credentials are renewed under it
	client := gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())
	if p.url.Query().Get("anonymous") != "true" && os.Getenv("STORAGE_EMULATOR_HOST") == "" {
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, err
		}
		if client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), credentials.TokenSource); err != nil {
			return nil, err
		}
	}
	opener := gcsblob.URLOpener{Client: client}
	return p.bucket(opener.OpenBucketURL(ctx, p.url))
}

func openAzure(ctx context.Context, p place) (store, error) {
	opener := azureblob.URLOpener{MakeClient: azureblob.NewDefaultClient, ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions()}
	return p.bucket(opener.OpenBucketURL(context.WithoutCancel(ctx), p.url))
}

// bucket puts the place's prefix before all keys.
func (p place) bucket(opened *blob.Bucket, err error) (store, error) {
	if err != nil {
		return nil, err
	}
	if p.prefix != "" {
		opened = blob.PrefixedBucket(opened, p.prefix)
	}
	return bucket{opened}, nil
}

func (b bucket) put(ctx context.Context, key string, body []byte) error {
	return b.bucket.WriteAll(ctx, key, body, &blob.WriterOptions{ContentType: "application/octet-stream"})
}

func (b bucket) get(ctx context.Context, key string, most int64) ([]byte, error) {
	r, err := b.bucket.NewReader(ctx, key, nil)
	switch {
	case absent(err):
		return nil, errAbsent
	case err != nil:
		return nil, err
	}
	body, err := readBounded(r, r.Size(), most)
	return body, errors.Join(err, r.Close())
}

func (b bucket) delete(ctx context.Context, key string) error {
	if err := b.bucket.Delete(ctx, key); !absent(err) {
		return err
	}
	return nil
}

// absent says whether an error means that there is no such object. The library
// says the same of buckets that are not there, and of Google's refusals: a right
// that is lacking must not look like records that are gone.
func absent(err error) bool {
	var google *googleapi.Error
	var azure *azcore.ResponseError
	var aws interface{ ErrorCode() string }
	switch {
	case errors.As(err, &google) && google.Code == http.StatusForbidden,
		errors.As(err, &azure) && azure.ErrorCode == "ContainerNotFound",
		errors.As(err, &aws) && aws.ErrorCode() == "NoSuchBucket":
		return false
	}
	return gcerrors.Code(err) == gcerrors.NotFound
}

func (b bucket) close() error { return b.bucket.Close() }
