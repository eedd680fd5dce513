package keepers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// contextKey is the name of our entry in the encryption context; it shows in
// CloudTrail, and holds a digest.
const contextKey = "llm-config"

var (
	awsKeyForm  = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`)
	awsARNForm  = regexp.MustCompile(`^arn:[a-z-]+:kms:([a-z0-9-]+):[0-9]{12}:(key|alias)/`)
	awsRoleForm = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
)

var _ keyService = (*awsKMS)(nil)

// awsKMS names its key when it decrypts too. AWS would find the key by the
// ciphertext: whoever writes to the store could have it use a key of theirs.
type awsKMS struct {
	client  *kms.Client
	key     string
	context map[string]string // from the URL, besides our own entry
}

// openAWS opens awskms://KEY, KEY being an id, alias/NAME or, after a third
// slash, an ARN.
func openAWS(ctx context.Context, key string, query query) (keeperParts, error) {
	if err := query.only("region", "profile", "role", "endpoint", "dualstack", "fips", "context_"); err != nil {
		return keeperParts{}, err
	}
	if !awsKeyForm.MatchString(key) {
		return keeperParts{}, errors.New("write awskms://KEY-ID, awskms://alias/NAME or awskms:///ARN")
	}
	cfg, err := awsConfig(ctx, key, query)
	if err != nil {
		return keeperParts{}, err
	}
	if endpoint := query["endpoint"]; endpoint != "" {
		u, err := parseEndpoint(endpoint)
		if err != nil {
			return keeperParts{}, err
		}
		cfg.BaseEndpoint = aws.String(u.String())
	}
	client := kms.NewFromConfig(cfg, func(o *kms.Options) { o.HTTPClient = privateOnly{o.HTTPClient} })
	service := &awsKMS{client: client, key: key, context: map[string]string{}}
	for name, value := range query {
		if name, ours := strings.CutPrefix(name, "context_"); ours {
			if name == "" || name == contextKey || len(name)+len(value) > 1024 {
				return keeperParts{}, errors.New("context_NAME in the URL has no name, a name that is taken, or too long a value")
			}
			service.context[name] = value
		}
	}
	return keeperParts{kind: kindAWS, name: "awskms " + key, service: service}, nil
}

func awsConfig(ctx context.Context, key string, query query) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if region := query["region"]; region != "" {
		options = append(options, config.WithRegion(region))
	} else if arn := awsARNForm.FindStringSubmatch(key); arn != nil {
		options = append(options, config.WithRegion(arn[1]))
	}
	if profile := query["profile"]; profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	dual, err := query.flag("dualstack")
	if err != nil {
		return aws.Config{}, err
	}
	if dual {
		options = append(options, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	fips, err := query.flag("fips")
	if err != nil {
		return aws.Config{}, err
	}
	if fips {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS settings of this process: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no region is known: add ?region=NAME, set AWS_REGION, or name the key by its ARN")
	}
	if role := query["role"]; role != "" {
		if !awsRoleForm.MatchString(role) {
			return aws.Config{}, errors.New("role in the URL is no ARN of a role, such as arn:aws:iam::123456789012:role/NAME")
		}
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role))
	}
	return cfg, nil
}

func (q query) flag(name string) (bool, error) {
	text, given := q[name]
	if !given {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s in the URL is neither true nor false", name)
	}
	return on, nil
}

// bind joins our digest to the encryption context of the URL.
func (a *awsKMS) bind(bound binding) map[string]string {
	all := maps.Clone(a.context)
	all[contextKey] = hex.EncodeToString(bound[:])
	return all
}

func (a *awsKMS) encrypt(ctx context.Context, key []byte, bound binding) ([]byte, string, error) {
	answer, err := a.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId: aws.String(a.key), Plaintext: key, EncryptionContext: a.bind(bound),
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	if err != nil {
		return nil, "", awsFailure(err)
	}
	return answer.CiphertextBlob, "", nil
}

func (a *awsKMS) decrypt(ctx context.Context, ciphertext []byte, _ string, bound binding) ([]byte, error) {
	answer, err := a.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: aws.String(a.key), CiphertextBlob: ciphertext, EncryptionContext: a.bind(bound),
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	var invalid *types.InvalidCiphertextException
	var incorrect *types.IncorrectKeyException
	switch {
	case errors.As(err, &invalid):
		return nil, foreign("AWS KMS", "the ciphertext is not valid for this key and use")
	case errors.As(err, &incorrect):
		return nil, foreign("AWS KMS", "the ciphertext is another key's; if an alias moved, name the former key too")
	case err != nil:
		return nil, awsFailure(err)
	}
	return answer.Plaintext, nil
}

// awsRemedies say what to do about an answer, by parts of its code.
var awsRemedies = []struct {
	codes  []string
	remedy string
}{
	{[]string{"AccessDenied", "UnauthorizedOperation"}, "the credentials in use may not use the key: allow kms:Encrypt and kms:Decrypt on it, in their policy or in the key's"},
	{[]string{"UnrecognizedClient", "InvalidSignature", "InvalidClientTokenId", "ExpiredToken", "MissingAuthenticationToken", "IncompleteSignature"}, "AWS does not accept the credentials in use: see AWS_ACCESS_KEY_ID, AWS_PROFILE or the machine's role, and whether the clock is right"},
	{[]string{"NotFound"}, "there is no such key in this account and region: see the key's name and ?region="},
	{[]string{"Disabled", "InvalidState"}, "the key is disabled or waits for its deletion: enable it, or cancel the deletion, before it is lost for ever"},
	{[]string{"InvalidKeyUsage"}, "the key is not a symmetric encryption key: make one of type SYMMETRIC_DEFAULT"},
	{[]string{"Throttling", "TooManyRequests", "LimitExceeded"}, "AWS KMS takes no more requests for now: try later, or ask for a larger quota"},
}

func awsFailure(err error) error {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return fmt.Errorf("AWS KMS could not be asked: see the network, the endpoint, and where the credentials come from: %s%w", oneLine(err.Error()), silent{err})
	}
	for _, r := range awsRemedies {
		if slices.ContainsFunc(r.codes, func(part string) bool { return strings.Contains(answer.ErrorCode(), part) }) {
			return fmt.Errorf("%s (%s)%w", r.remedy, answer.ErrorCode(), silent{err})
		}
	}
	return fmt.Errorf("AWS KMS answered %s: %s%w", answer.ErrorCode(), oneLine(answer.ErrorMessage()), silent{err})
}
