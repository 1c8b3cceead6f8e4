<?php

/*
 * Calls the NetServer services as a program on PHP's SoapClient does. README.md says what it is told and what it prints.
 *
 *     php netserver_php.php LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID [BASE-URL]
 */

ini_set('display_errors', 'stderr');
[, $license_wsdl, $principal_wsdl, $user, $password, $owner, $associate] = $argv;
$base = $argv[7] ?? null;

function service(string $wsdl, string $name, ?string $base): SoapClient
{
    return new SoapClient($wsdl, [
        'cache_wsdl' => WSDL_CACHE_NONE,
        'connection_timeout' => 60,
        'exceptions' => true,
        // An array of one is an array.
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    ] + ($base === null ? [] : ['location' => "$base/Remote/Services86/$name.svc"]));
}

function call(SoapClient $client, string $operation, array $arguments, array $headers): array
{
    $blocks = [];
    foreach (['ApplicationToken' => '1234567-1234-9876'] + $headers as $name => $value) {
        $blocks[] = new SoapHeader(NAMESPACE_OF_HEADERS, $name, $value);
    }
    // SoapClient leaves the header of the answer here, by the names of its blocks.
    $header = [];
    $body = $client->__soapCall($operation, [$arguments], null, $blocks, $header);
    return ['header' => (object) plain((object) $header), 'body' => (object) plain($body)];
}

/** As JSON, without the members in which nothing is. */
function plain(mixed $value): mixed
{
    if (is_object($value)) {
        $members = array_map(plain(...), get_object_vars($value));
        return array_filter($members, fn($member) => !in_array($member, [null, '', []], true));
    }
    return is_array($value) ? array_map(plain(...), $value) : $value;
}

// SoapClient does not hand out the namespace of a WSDL. It is that of the header blocks.
define('NAMESPACE_OF_HEADERS', simplexml_load_file($license_wsdl)['targetNamespace']->__toString());

$principal = service($principal_wsdl, 'SoPrincipal', $base);
$license = service($license_wsdl, 'License', $base);

$sign_in = fn(string $password) =>
    call($principal, 'AuthenticateUsernamePassword', ['UserName' => $user, 'Password' => $password], []);
$login = $sign_in($password);
$ticket = $login['body']->Credentials['Ticket'];

$call = fn(string $operation, array $arguments, array $headers = []) =>
    call($license, $operation, $arguments, $headers + ['Credentials' => ['Ticket' => $ticket]]);

$of_owner = ['OwnerName' => $owner];
$of_nobody = ['OwnerName' => 'NOBODY'];
$of_associate = ['AssociateId' => (int) $associate];
$of_both = $of_associate + ['ModuleOwner' => $owner];
$modules = $of_both + ['ModuleLicenseNames' => ['string' => ['SQLBACKUP']]];
$seen = [
    'login' => $login,
    'wrong_password' => $sign_in("$password?"),
    'system_info' => call($principal, 'GetSystemInfo', [], []),
    'license' => $call('GetLicenseFromLicenseServer', $of_owner),
    'stored' => $call('GetLicenseFromDB', $of_owner),
    'status' => $call('GetLicenseStatusFromLicenseServer', $of_owner),
    'user' => $call('GetUserLicenses', $of_associate),
    'assign' => $call('AssignThirdPartyLicenses', $modules),
    'assigned' => $call('GetThirdPartyLicenseAssignments', $of_both),
    'license_assigned' => $call('GetLicenseFromLicenseServer', $of_owner),
    'unassign' => $call('UnassignThirdPartyLicenses', $modules),
    'wrong_ticket' => $call('GetLicenseFromLicenseServer', $of_owner, ['Credentials' => ['Ticket' => '7T:garbage']]),
    'unknown_owner' => $call('GetLicenseFromLicenseServer', $of_nobody),
    'unknown_owner_status' => $call('GetLicenseStatusFromLicenseServer', $of_nobody),
    'in_norway' =>
        $call('GetLicenseFromLicenseServer', $of_owner, ['TimeZone' => ['SoTimeZoneLocationCode' => 'NO']]),
];
if (preg_grep('/ GetUserAndInstallationLicenceStatus\(/', $license->__getFunctions())) {
    $seen['user_status'] = $call('GetUserAndInstallationLicenceStatus', $of_associate);
}
echo json_encode($seen, JSON_THROW_ON_ERROR), "\n";
